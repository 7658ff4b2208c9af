# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aios.body_models import files

if TYPE_CHECKING:
    from aios.body_models import SMPLXLayer

DATA = Path(__file__).parent / 'data'


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection.

    MMEngine and PyTorch collect often, half a second each time otherwise.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """Folder of committed fixtures."""
    return DATA


@pytest.fixture(scope='session')
def free_body_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``smplx/SMPLX_*.npz`` of the free body, made once.

    Without compression: tests read it often.
    """
    from aios.body_models import expand_free_body, free_body_arrays
    from aios.body_models.free_body import FREE_BODY_GENDERS
    from aios.utils.safe_io import save_npz

    folder = tmp_path_factory.mktemp('free_body') / 'models'
    expand_free_body(folder, genders=())
    for gender in FREE_BODY_GENDERS:
        path = folder / f'smplx/SMPLX_{gender.upper()}.npz'
        save_npz(path, free_body_arrays(gender), compress=False)
    return folder


@pytest.fixture(scope='session')
def smpl_models(
    free_body_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of SMPL and SMPL-X files of the free body, made once."""
    from toy_smpl import make_toy_smpl

    folder = tmp_path_factory.mktemp('smpl') / 'models'
    return make_toy_smpl(free_body_dir, folder)


@pytest.fixture(scope='session')
def layer(free_body_dir: Path) -> SMPLXLayer:
    """The free body, neutral; not to be changed."""
    from aios.body_models import SMPLXLayer

    return SMPLXLayer(free_body_dir)


@pytest.fixture(scope='session', autouse=True)
def body_models_read_once() -> Iterator[None]:
    """A file of a body model is read once, as long as it stays the same.

    Most networks of the tests hold the free body, whose file takes longer to
    read than a tiny network to run.
    """
    read = files.read_model_file

    @lru_cache(maxsize=4)
    def read_again(
        path: Path, keys: tuple[str, ...] | None, *_: int
    ) -> dict[str, Any]:
        return read(path, keys)

    def read_model_file(
        path: str | os.PathLike, keys: Iterable[str] | None = None
    ) -> dict[str, Any]:
        path, keys = Path(path), keys and (*keys,)
        if not path.is_file():
            return read(path, keys)
        status = path.stat()
        facts = status.st_ino, status.st_size, status.st_mtime_ns
        return dict(read_again(path, keys, *facts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, 'read_model_file', read_model_file)
        yield
