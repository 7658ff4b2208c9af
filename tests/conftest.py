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
    """Folder with ``smplx/SMPLX_*.npz`` of the free body, made once."""
    from aios.body_models.free_body import expand_free_body

    return expand_free_body(tmp_path_factory.mktemp('free_body') / 'models')


@pytest.fixture(scope='session')
def layer(free_body_dir: Path) -> SMPLXLayer:
    """The free body, neutral; not to be changed."""
    from aios.body_models import SMPLXLayer

    return SMPLXLayer(free_body_dir)
