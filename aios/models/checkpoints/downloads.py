# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Download of checkpoints, by URL or MMEngine's names for URLs."""

from __future__ import annotations

import os
import re
from contextlib import suppress
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
from aios.utils.locking import file_lock
from aios.utils.shipped import SHIPPED_MODEL, shipped_weights

from .reading import CheckpointError

_TABLES = {
    'torchvision': get_torchvision_models,
    'modelzoo': get_torchvision_models,
    'open-mmlab': get_external_models,
    'openmmlab': get_external_models,
}
_OTHERS = ('http', 'https', 'aios')
REMOTE_PREFIXES = (
    *(f'{name}://' for name in (*_TABLES, *_OTHERS, 'mmcls', 'pavi')),
    r'(\S+\:)?s3://',
    r'(\S+\:)?petrel://',
)
"""Prefixes of MMEngine's checkpoint loader besides files."""

# Suffix of file names of PyTorch and OpenMMLab: resnet50-0676ba61.pth
_HASH_IN_NAME = re.compile(r'-([a-f0-9]{8,64})\.')


def fetch(name: str | os.PathLike) -> Path:
    """The local file of a checkpoint, downloaded once.

    Downloads are cached in the folder of
    :func:`torch.hub.load_state_dict_from_url`. The SHA-256 of a file must
    begin with the digits in its name, as in ``resnet50-0676ba61.pth``. For
    other names it is stored beside the download at first, with its origin, and
    compared later.

    Args:
        name: A file, a URL, one of MMEngine's names for URLs, such as
            ``torchvision://resnet50``, or ``aios://aios_s`` for the weights
            of the package.

    Raises:
        CheckpointError: The name is unknown, the download fails, the
            SHA-256 differs, or another URL has the same file name.
        FileNotFoundError: If this installation lacks the package's weights.
    """
    scheme, separator, rest = str(name).partition('://')
    if not separator:
        return Path(name)
    if scheme == 'aios':
        return _shipped(rest)
    if scheme in _TABLES:
        return fetch(_look_up(scheme, rest))
    if scheme not in ('http', 'https'):
        raise CheckpointError(
            f'{name}: must be a file, or begin with '
            f'{", ".join(f"{s}://" for s in (*_TABLES, *_OTHERS))}'
        )
    path = _cache_path(str(name))
    if dist.get_rank() == 0:
        _download(str(name), path)
    dist.barrier()
    if not path.exists():  # a machine with other disks than the first
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_name(f'{path.name}.lock')):
            _download(str(name), path)
    return path


def _shipped(name: str) -> Path:
    if name != SHIPPED_MODEL:
        raise CheckpointError(
            f'aios://{name}: the package has only aios://{SHIPPED_MODEL}'
        )
    return shipped_weights()


def _look_up(scheme: str, name: str) -> str:
    table = _TABLES[scheme]()
    if 'mmlab' in scheme:
        name = get_deprecated_model_names().get(name, name)
    if name not in table:
        raise CheckpointError(f'{scheme}://{name}: unknown to MMEngine')
    return table[name]


def _cache_path(url: str) -> Path:
    name = Path(urlparse(url).path).name
    if not name:
        raise CheckpointError(f'{url}: the URL has no file name')
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def _download(url: str, path: Path) -> None:
    digest_file = path.with_name(f'{path.name}.sha256')
    named = _HASH_IN_NAME.search(path.name)
    parts = urlparse(url)
    origin = f'{parts.hostname}{parts.path}'  # without passwords
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest_file.unlink(missing_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as error:
            raise CheckpointError(
                f'{url}: download failed: {error}'
            ) from error
    found = file_sha256(path)
    if named is not None:
        expected = named[1]
    elif digest_file.exists():
        text = digest_file.read_text(encoding='utf-8')
        expected, _, known = text.strip().partition(' ')
        if known not in ('', origin):
            raise CheckpointError(
                f'{path} was downloaded from {known}; delete it to download '
                f'{url}, or rename one of them'
            )
    else:
        expected = found
        with suppress(PermissionError):  # a folder that an admin has filled
            digest_file.write_text(f'{found} {origin}', encoding='utf-8')
        print_log(f'downloaded {path} from {url}, SHA-256 {found}', 'current')
    if not found.startswith(expected):
        raise CheckpointError(
            f'{path}: its SHA-256 begins with {found[:16]}, expected '
            f'{expected[:16]}; delete the file to download it again from '
            f'{url}'
        )
