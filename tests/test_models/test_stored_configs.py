# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A config from a file is data, and its types are registered ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from aios.models.checkpoints import (
    CheckpointError,
    parse_config,
    read_stored_config,
)


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'model = open("canary", "w")',
        'model = dict(**{"a": 1})',
        'model = [x for x in (1, 2)]',
        'model = (lambda: 1)()',
        'model.a = 1',
        'model = f"{1}"',
        'model = {[]: 1}',
        'model = ' + 500 * '(' + 500 * ')',
        'model = ' + 3000 * '-' + '1',
        'model = "' + 'a' * 10,
        'x = 1\0',
    ],
)
def test_text_with_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match='w.pth'):
        parse_config(text, 'w.pth')
    assert not list(tmp_path.iterdir())


def test_the_line_that_is_code_is_named() -> None:
    for line in ('import os', 'x.y = 1', 'x = y = 1', 'x += 1'):
        with pytest.raises(
            CheckpointError, match='line 2 .*: ' + re.escape(line)
        ):
            parse_config(f'a = 1\n{line}', 'w.pth')


def test_text_of_a_config() -> None:
    text = "model = dict(type='AiOS', sizes=[(1, -2.5)])\nload_from = None\n"
    assert parse_config(text, 'w.pth') == dict(
        model=dict(type='AiOS', sizes=[(1, -2.5)]), load_from=None
    )


@pytest.mark.parametrize(
    ('model', 'place'),
    [
        (dict(type='subprocess.getoutput', cmd='true'), 'model.type'),
        (dict(type='os.system'), 'model.type'),
        (dict(type='AiOS', neck=dict(type='builtins.exec')), 'neck.type'),
        (dict(layers=[dict(type='AiOS'), dict(type='a.b')]), 'layers[1].type'),
        (dict(type='hostile_module.AiOS'), 'model.type'),
        (dict(type='hostile_module'), 'model.type'),
        (dict(type='mmengine.registry.build_from_cfg'), 'model.type'),
        (dict(type='torch.hub.load'), 'model.type'),
        (dict(type=None), 'model.type'),
        (dict(type=['AiOS']), 'model.type'),
        (dict(type='AiOS', _scope_='hostile_module'), 'model._scope_'),
    ],
)
def test_types_are_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict, place: str
) -> None:
    (tmp_path / 'hostile_module').mkdir()
    for name in ('__init__', 'registry'):
        (tmp_path / f'hostile_module/{name}.py').touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        read_stored_config(dict(model=model), 'w.pth')
    assert 'w.pth' in str(caught.value) and place in str(caught.value)
    assert 'hostile_module' not in sys.modules


def test_registered_types() -> None:
    model = dict(
        type='AiOS',
        backbone=dict(type='mmdet.ResNet', norm_cfg=dict(type='BN')),
        # as the new style of configs writes them
        neck=dict(type='mmdet.models.necks.channel_mapper.ChannelMapper'),
    )
    read = read_stored_config(dict(model=model, work_dir='x'), 'w.pth')
    assert read['model'] == model | dict(neck=dict(type='mmdet.ChannelMapper'))
    assert 'work_dir' not in read


def test_pipelines_are_checked_and_datasets_are_not_built() -> None:
    step = dict(type='subprocess.getoutput')
    loader = dict(dataset=dict(type='my.Dataset', pipeline=[step]))
    with pytest.raises(CheckpointError, match=r'pipeline\[0\]\.type'):
        read_stored_config(dict(test_dataloader=loader), 'w.pth')
    step['type'] = 'LoadImage'
    loader = read_stored_config(dict(test_dataloader=loader), 'w.pth')
    assert loader['test_dataloader']['dataset']['pipeline'] == [step]
