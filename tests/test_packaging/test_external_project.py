# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A project of somebody else inherits our configs and trains.

It lives in ``tests/external_project``.  It sees this package as an
installation puts it there, with ``aios/.mim``, and not the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from script_loader import load_script

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / 'tests' / 'external_project'
CONFIG = PROJECT / 'configs' / 'aios_patchnet_synthetic.py'
STEPS = 2

pytestmark = pytest.mark.slow

Python = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``site-packages`` would hold, with links to the modules."""
    site = tmp_path_factory.mktemp('site')
    package = site / 'aios'
    package.mkdir()
    for path in (ROOT / 'aios').iterdir():
        if path.name not in ('.mim', '__pycache__'):
            package.joinpath(path.name).symlink_to(path)
    load_script('setup.py').copy_mim(site)
    return site


@pytest.fixture
def python(site: Path, tmp_path: Path) -> Python:
    """Runs Python as somebody who has both projects installed."""

    def run(*args: object, **env: object) -> subprocess.CompletedProcess:
        variables = {key: str(value) for key, value in env.items()}
        return subprocess.run(
            [sys.executable, *map(str, args)],
            cwd=tmp_path,
            env=os.environ
            | {'PYTHONPATH': f'{PROJECT}:{site}', 'OMP_NUM_THREADS': '1'}
            | variables,
            capture_output=True,
            text=True,
        )

    return run


def test_trains_with_a_foreign_backbone_and_dataset_wrapper(
    python: Python, site: Path, tmp_path: Path, free_body_dir: Path
):
    images = tmp_path / 'images'
    load_script('tools/make_synthetic_dataset.py').main(
        f'{images} --images 3 --size 96x72 --persons 1-2 --supersample 1 '
        f'--body {free_body_dir}'.split()
    )
    result = python(
        site / 'aios/.mim/tools/train.py',
        CONFIG,
        '--work-dir',
        tmp_path / 'training',
        LAB_DATA=images,
    )
    assert result.returncode == 0, result.stderr
    path = tmp_path / 'training' / f'iter_{STEPS}.pth'
    weights = torch.load(path, weights_only=False)['state_dict']
    # PatchNet's name of a weight; no ResNet beside it.
    assert weights['backbone.stages.0.0.weight'].shape == (16, 3, 8, 8)
    assert not [name for name in weights if 'backbone.layer1' in name]
    assert f'[{STEPS}/{STEPS}]' in result.stdout + result.stderr


READ = """
import sys
from mmengine.config import Config
for path in sys.argv[1:]:
    print(Config.fromfile(path).model.type)
from mmengine.hub import get_config
print(get_config('aios::aios/aios_tiny.py').model.type)
"""


def test_base_config_needs_our_registry_to_be_imported(
    python: Python, tmp_path: Path
):
    """Tools of others do not import it, but a config can do so itself."""
    refused = python('-c', READ, CONFIG)
    assert 'does not support to load aios config' in refused.stderr
    base = "'aios::aios/aios_tiny_1xb8-24e_synthetic.py'"
    text = CONFIG.read_text()
    assert base in text
    config = tmp_path / 'config.py'
    config.write_text(
        text.replace(base, f"__import__('aios.registry') and {base}")
    )
    # The first one imports it for the second and for MMEngine's hub.
    result = python('-c', READ, config, CONFIG)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ['AiOS'] * 3
