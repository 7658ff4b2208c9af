# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checkpoints by URL, and by the names that MMEngine has for URLs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.logging import print_log
from mmengine.runner import (
    get_deprecated_model_names,
    get_external_models,
    get_torchvision_models,
)

from aios.utils.digests import file_sha256

from .reading import CheckpointError

_TABLES = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
}
REMOTE_PREFIXES = (
    *(f'{name}://' for name in (*_TABLES, 'http', 'https', 'mmcls', 'pavi')),
    r'(\S+\:)?s3://',
    r'(\S+\:)?petrel://',
)
"""What MMEngine's loader of checkpoints knows besides files."""

# What PyTorch and OpenMMLab put at the end of a name: resnet50-0676ba61.pth
_HASH_IN_NAME = re.compile(r'-([a-f0-9]{8,64})\.')


def fetch(name: str | os.PathLike) -> Path:
    """The local file of a checkpoint, downloaded once.

    Downloads are kept where :func:`torch.hub.load_state_dict_from_url` keeps
    them. The SHA-256 of a file must begin with what its name says, as in
    ``resnet50-0676ba61.pth``. Without that it is written beside the download
    and to the log, and compared from then on.

    Args:
        name: A file, a URL, or one of MMEngine's names for URLs, such as
            ``torchvision://resnet50``.

    Raises:
        CheckpointError: It cannot be fetched, or is not the file it was.
    """
    scheme, separator, rest = str(name).partition('://')
    if not separator:
        return Path(name)
    if scheme in _TABLES:
        return fetch(_look_up(scheme, rest))
    if scheme not in ('http', 'https'):
        raise CheckpointError(
            f'{name}: allowed are files, and what begins with '
            f'{", ".join(f"{s}://" for s in (*_TABLES, "http", "https"))}'
        )
    path = _place(str(name))
    if dist.get_rank() == 0:
        _download(str(name), path)
    dist.barrier()
    return path


def _look_up(scheme: str, name: str) -> str:
    table = _TABLES[scheme]()
    if 'mmlab' in scheme:
        name = get_deprecated_model_names().get(name, name)
    if name not in table:
        raise CheckpointError(f'{scheme}://{name}: MMEngine knows no such one')
    return table[name]


def _place(url: str) -> Path:
    name = Path(urlparse(url).path).name
    if not name:
        raise CheckpointError(f'{url}: this URL names no file')
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def _download(url: str, path: Path) -> None:
    note = path.with_name(f'{path.name}.sha256')
    named = _HASH_IN_NAME.search(path.name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise CheckpointError(f'{url}: not fetched, {error}') from error
    found = file_sha256(path)
    if named is not None:
        expected = named[1]
    elif note.exists():
        expected = note.read_text(encoding='utf-8').strip()
    else:
        expected = found
        note.write_text(found, encoding='utf-8')
        print_log(f'{path}: from {url}, SHA-256 {found}', 'current')
    if not found.startswith(expected):
        raise CheckpointError(
            f'{path}: its SHA-256 begins with {found[:16]}, expected '
            f'{expected[:16]}; delete the file to fetch it again from {url}'
        )
