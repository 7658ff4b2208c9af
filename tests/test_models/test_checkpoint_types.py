# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What checkpoint files may hold, and what becomes of the rest."""

from __future__ import annotations

import copy
import pickle
import zipfile
from argparse import Namespace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import hostile_pickles as hostile
import numpy as np
import pytest
import torch
from fuzz.harness import CANARY, Reader, run_cases
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from aios.models.checkpoints import (
    CheckpointError,
    IgnoredObject,
    read_checkpoint,
)

READER = Reader(
    'checkpoint',
    'file.pth',
    None,
    torch.save,
    lambda path: repr(read_checkpoint(path)),
)


def save(path: Path, content: object, new: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=new)
    return path


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'before 1.6'])
def test_what_training_writes(tmp_path: Path, new: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3, 3])
    history = HistoryBuffer()
    history.update(1.5)
    memory = torch.arange(10.0)
    written = dict(
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        scheduler=scheduler.state_dict(),
        history=history,
        views=[memory[2:4], memory.view(2, 5).t()],
        types=[torch.ones(2, dtype=torch.bfloat16), torch.ones(1).bool()],
        parameter=nn.Parameter(torch.ones(2)),
        rate=np.float32(0.5),
        where=np.arange(3),
        plain=[torch.Size([2, 3]), torch.float16, b'abc', bytearray(b'x')],
    )
    read = read_checkpoint(save(tmp_path / 'file.pth', written, new))
    expected = torch.load(tmp_path / 'file.pth', weights_only=False)
    for name, tensor in expected['state_dict'].items():
        assert torch.equal(read['state_dict'][name], tensor)
    # which version of a module wrote its weights
    assert read['state_dict']._metadata == expected['state_dict']._metadata
    assert read['scheduler'] == expected['scheduler']
    assert repr(read['optimizer']) == repr(expected['optimizer'])
    assert read['history'].mean() == 1.5
    for key in ('views', 'types', 'parameter', 'rate', 'where', 'plain'):
        assert repr(read[key]) == repr(expected[key])
    first, second = read['views']
    first[0] = 77  # memory stays shared
    assert second[2, 0] == 77


def test_configs_become_plain_dictionaries(tmp_path: Path) -> None:
    """Training that goes on compares and pickles them."""
    inner = ConfigDict(type='SMPLX', joints=[ConfigDict(name='pelvis')])
    content = dict(metainfo=dict(body_model=inner), config=Config(dict(a=1)))
    read = read_checkpoint(save(tmp_path / 'file.pth', content))
    expected = dict(type='SMPLX', joints=[dict(name='pelvis')])
    assert read['metainfo']['body_model'] == expected
    assert read['config'] == dict(a=1)
    assert type(read['metainfo']['body_model']) is dict
    assert type(read['metainfo']['body_model']['joints'][0]) is dict
    assert pickle.loads(pickle.dumps(read)) == read


def test_other_objects_are_ignored(tmp_path: Path) -> None:
    content = dict(
        args=Namespace(lr=1e-4),
        third=Fraction(1, 3),
        more=SimpleNamespace(code=eval),
        code=eval,
    )
    read = read_checkpoint(save(tmp_path / 'file.pth', content))
    assert read == dict(
        args=IgnoredObject('argparse.Namespace'),
        third=IgnoredObject('fractions.Fraction'),
        more=IgnoredObject('types.SimpleNamespace'),
        code=IgnoredObject('builtins.eval'),
    )
    assert copy.deepcopy(read) == read
    assert pickle.loads(pickle.dumps(read)) == read


@pytest.mark.parametrize(
    'make',
    [hostile.runs_while_it_is_read, hostile.runs_when_it_is_copied],
)
def test_methods_of_a_history_are_never_loaded(tmp_path: Path, make) -> None:
    canary = tmp_path / CANARY
    code = f'open({str(canary)!r}, "w").close()'
    path = hostile.write_checkpoint(tmp_path / 'file.pth', make(code))
    with pytest.raises(CheckpointError, match=r'file\.pth.*history'):
        copy.deepcopy(read_checkpoint(path))
    assert not canary.exists()


def tensor(storage_bytes: int, *place: bytes) -> bytes:
    """A checkpoint with one tensor: offset, shape and strides."""
    memory = (
        pickle.MARK
        + hostile.text('storage')
        + hostile.name('torch', 'ByteStorage')
        + hostile.text('0')
        + hostile.text('cpu')
        + hostile.number(storage_bytes)
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    rebuilt = (
        hostile.name('torch._utils', '_rebuild_tensor_v2')
        + pickle.MARK
        + memory
        + b''.join(place)
        + pickle.NEWFALSE
        + pickle.NONE
        + pickle.TUPLE
        + pickle.REDUCE
    )
    return hostile.mapping(hostile.text('w'), rebuilt)


def numbers(*values: int) -> bytes:
    content = b''.join(map(hostile.number, values))
    return pickle.MARK + content + pickle.TUPLE


def latin(value: str) -> bytes:
    encode = hostile.name('_codecs', 'encode')
    return hostile.call(encode, hostile.text(value), hostile.text('latin1'))


def pointers() -> bytes:
    """An array of one object, whose pointer is in the file.

    The state of its dtype says that it holds no objects.
    """
    dtype = pickle.dumps(np.dtype('O'), 2)[2:-1].replace(b'K?', b'K\0')
    array = hostile.call(
        hostile.name('numpy._core.multiarray', '_reconstruct'),
        hostile.name('numpy', 'ndarray'),
        numbers(0),
        latin('b'),
    )
    state = hostile.number(1) + numbers(1) + dtype + pickle.NEWFALSE
    state += latin('abcdefgh')
    return array + pickle.MARK + state + pickle.TUPLE + pickle.BUILD


EXPENSIVE = {
    'a shape beyond the memory': tensor(
        4, hostile.number(0), numbers(1 << 34), numbers(1)
    ),
    'an offset beyond the memory': tensor(
        4, hostile.number(1 << 40), numbers(4), numbers(1)
    ),
    'negative strides': tensor(4, hostile.number(3), numbers(4), numbers(-1)),
    'memory that is repeated': tensor(
        4, hostile.number(0), numbers(1 << 34, 4), numbers(0, 1)
    ),
    'memory that is not there': tensor(
        8 << 30, hostile.number(0), numbers(8 << 30), numbers(1)
    ),
    'a key that takes years': hostile.mapping(
        hostile.doubled_tuples(), pickle.NONE
    ),
    'pointers, of a dtype that denies to hold objects': hostile.mapping(
        hostile.text('a'), pointers()
    ),
}


@pytest.mark.parametrize('case', EXPENSIVE)
def test_small_files_take_little(tmp_path: Path, case: str) -> None:
    path = hostile.write_checkpoint(
        tmp_path / 'file.pth', EXPENSIVE[case], {'0': b'abcd'}
    )
    (result,) = run_cases(READER, [path])
    assert result.end == 'refused', result


def test_tensor_made_by_hand_is_valid(tmp_path: Path) -> None:
    body = tensor(4, hostile.number(1), numbers(3, 2), numbers(1, 0))
    path = hostile.write_checkpoint(tmp_path / 'a.pth', body, {'0': b'abcd'})
    assert read_checkpoint(path)['w'].tolist() == [[n, n] for n in b'bcd']


def test_compressed_archives(tmp_path: Path) -> None:
    """4 MB of zeros announce 4 GB; ``torch.save`` compresses nothing."""
    path = tmp_path / 'file.pth'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', hostile.program(pickle.NONE))
    with pytest.raises(CheckpointError, match=r'file\.pth.*compressed'):
        read_checkpoint(path)


def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / 'file.pth', {'w': torch.ones(1000)})
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(8).numpy().tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r'file\.pth: damaged'):
        read_checkpoint(path)
