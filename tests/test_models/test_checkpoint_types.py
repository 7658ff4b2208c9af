# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which types of objects in checkpoint files are let in.

With torch < 2.6 the package finds them itself.
"""

from __future__ import annotations

from argparse import Namespace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import serialization

from aios.models.checkpoints import reading


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What torch knows, what MMEngine writes, and what neither does."""
    history = HistoryBuffer()
    history.update(1.5)
    content = dict(
        state_dict={'a': torch.ones(2)},
        history=history,
        rate=np.float32(0.5),
        where=np.arange(3),
        args=Namespace(lr=1e-4),
        third=Fraction(1, 3),
        more=SimpleNamespace(code=eval),
    )
    torch.save(content, tmp_path / 'file.pth')
    return tmp_path / 'file.pth'


@pytest.mark.skipif(
    not hasattr(serialization, 'get_unsafe_globals_in_checkpoint'),
    reason='torch < 2.6 does not tell',
)
def test_those_that_torch_finds(file):
    found = reading._find_unsafe_globals(file)
    assert found == {*serialization.get_unsafe_globals_in_checkpoint(file)}
    assert {'builtins.eval', 'argparse.Namespace'} <= found


@pytest.mark.parametrize('old', [False, True], ids=['this torch', 'torch 2.4'])
def test_plain_data_is_read(file, monkeypatch, old: bool):
    if old:
        monkeypatch.delattr(
            serialization, 'get_unsafe_globals_in_checkpoint', raising=False
        )
    before = [*serialization.get_safe_globals()]
    content = reading.read_checkpoint(file)
    assert content['history'].mean() == 1.5
    assert content['rate'] == np.float32(0.5)
    assert content['where'].tolist() == [0, 1, 2]
    for name in ('args', 'third', 'more'):
        assert isinstance(content[name], reading._Ignored)
    # what was safe before is safe afterwards, and nothing else
    after = serialization.get_safe_globals()
    assert {*map(id, after)} == {*map(id, before)}
