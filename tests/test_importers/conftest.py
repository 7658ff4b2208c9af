# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small files in the formats of other programs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_results import mhr_person

from aios.body_models import BodyPoser, SMPLXLayer
from aios.importers import IMPORTERS, ReadingOptions


@pytest.fixture(scope='session')
def poser(layer: SMPLXLayer) -> BodyPoser:
    return BodyPoser(layer)


@pytest.fixture
def read(poser: BodyPoser, tmp_path: Path) -> Callable[..., Any]:
    """Function (program, path or content, options) -> results, remarks."""

    def run(program: str, source: Any, **options: Any) -> Any:
        path = source
        if not isinstance(source, Path):
            path = tmp_path / 'x.pkl'
            path.write_bytes(pickle.dumps(source))
        return IMPORTERS[program].read(path, poser, ReadingOptions(**options))

    return run


@pytest.fixture
def faces_file(tmp_path: Path) -> Path:
    path = tmp_path / 'faces.npy'
    np.save(path, np.array([[0, 1, 2], [3, 4, 5], [1, 2, 3]]))
    return path


@pytest.fixture
def mhr_folder(tmp_path: Path) -> Path:
    """Four frames; the third is without persons, the last has one."""
    folder = tmp_path / 'bodies'
    folder.mkdir()
    for number in range(4):
        persons = [
            mhr_person((x + 0.02 * number, 0.1, 4), seed)
            for seed, x in enumerate((-0.8, 0.8))
        ]
        persons = [persons, persons[::-1], [], persons[:1]][number]
        np.save(folder / f'{number:04d}.npy', np.array(persons, object))
    (folder / '._0000.npy').write_bytes(b'\0\5\x16\7')  # of macOS
    return folder
