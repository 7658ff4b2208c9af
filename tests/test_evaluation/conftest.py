# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fixtures of the evaluation tests: persons and a small AGORA release."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_agora import ToyAGORA
from toy_persons import Persons


@pytest.fixture(scope='session')
def persons(free_body_dir: Path) -> Persons:
    return Persons(str(free_body_dir))


@pytest.fixture(scope='session')
def toy(
    tmp_path_factory: pytest.TempPathFactory, free_body_dir: Path
) -> ToyAGORA:
    """Data frames of AGORA and predictions; must not be modified."""
    return ToyAGORA(tmp_path_factory.mktemp('agora'), str(free_body_dir))
