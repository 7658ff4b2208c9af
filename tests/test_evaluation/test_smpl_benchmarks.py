# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From a release to the numbers of 3DPW, EMDB and RICH, with the tools."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy_smpl_releases as releases
from script_loader import load_main

from aios.datasets.converters import (
    EMDBConverter,
    PW3DConverter,
    RICHConverter,
    run_command,
)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = ['{root}/configs/aios/aios_r50_{name}.py']
custom_imports = dict(imports=['toy_answers'], allow_failed_imports=False)
model = dict(_delete_=True, type='ToyAnswers')
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""
BODY = ('MPJPE-body', 'PA-MPJPE-body', 'MPVPE-all', 'PA-MPVPE-all')
BENCHMARKS = {
    '3dpw': ('3DPW', '3DPW', PW3DConverter, 'test', 7, BODY),
    'emdb1': ('EMDB', 'EMDB', EMDBConverter, 'emdb1', 3, BODY),
    'emdb2': (
        'EMDB-world',
        'EMDB',
        EMDBConverter,
        'emdb2',
        3,
        ('W-MPJPE', 'WA-MPJPE', 'RTE'),
    ),
    'rich': (
        'RICH',
        'RICH',
        RICHConverter,
        'test',
        8,
        ('MPVPE-all', 'PA-MPVPE-hand', 'MPVPE-face', 'MPJPE-body'),
    ),
}


@pytest.mark.parametrize('name', BENCHMARKS)
def test_release_to_numbers(name, smpl_models, tmp_path, monkeypatch):
    prefix, folder, kind, split, persons, errors = BENCHMARKS[name]
    monkeypatch.setenv('AIOS_DATA', str(tmp_path / 'data'))
    monkeypatch.setenv('AIOS_BODY_MODELS', str(smpl_models))
    root = tmp_path / 'data/datasets' / folder
    if folder == 'EMDB':
        releases.make_emdb(root)
    elif folder == 'RICH':
        releases.make_rich(root, smpl_models)
    else:
        releases.make_3dpw(root, smpl_models)
    said = run_command([kind.NAME, str(root), '--split', split])
    assert f' {persons} persons' in said
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(root=ROOT, name=name))
    checkpoint = tmp_path / 'weights.pth'
    torch.save({'state_dict': {}, 'meta': {}}, checkpoint)
    numbers = load_main('tools/test.py')(
        config, checkpoint, '--work-dir', tmp_path / 'work'
    )
    assert numbers[f'{prefix}/persons'] == persons
    assert numbers[f'{prefix}/matched'] == persons
    for error in errors:
        assert numbers[f'{prefix}/{error}'] < 0.05, error
