# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aios.body_models import SMPLXLayer

DATA = Path(__file__).parent / 'data'


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
def layer(free_body_dir: Path) -> SMPLXLayer:
    """The free body, neutral; not to be changed."""
    from aios.body_models import SMPLXLayer

    return SMPLXLayer(free_body_dir)
