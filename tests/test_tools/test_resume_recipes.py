# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Every recipe that needs no foreign data goes on after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from script_loader import load_script

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from script_loader import load_script

def dying(run_iter):
    def run(loop, *args):
        if loop._iter == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        run_iter(loop, *args)
    return run

for loop in (EpochBasedTrainLoop, IterBasedTrainLoop):
    loop.run_iter = dying(loop.run_iter)
load_script('tools/train.py').main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Recipe:
    """A config, the options that make it small, and when it is killed."""

    config: str
    options: tuple[str, ...]
    step: int
    last: str


STEPS = Recipe(
    'configs/aios/aios_nano_2xb16_quickstart.py',
    (
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=100',
        'default_hooks.checkpoint.interval=2',
        'train_dataloader.num_workers=1',
    ),
    3,
    'iter_4.pth',
)
EPOCHS = (
    'train_cfg.max_epochs=3',
    'train_cfg.val_interval=100',
    'default_hooks.checkpoint.interval=1',
    'train_dataloader.sampler.epoch_length=4',
)
FINETUNE = Recipe(
    'configs/aios/aios_s_1xb16-12e_finetune.py',
    (
        'train_cfg.max_epochs=3',
        'train_cfg.val_interval=100',
        'train_dataloader.num_workers=1',
    ),
    3,
    'epoch_3.pth',
)
slow = pytest.mark.slow
RECIPES = [
    STEPS,
    pytest.param(FINETUNE, marks=slow),
    *(
        pytest.param(Recipe(path, EPOCHS, 5, 'epoch_3.pth'), marks=slow)
        for path in (
            'configs/aios/aios_tiny_1xb8-24e_synthetic.py',
            'aios/configs/aios_tiny_1xb8_24e_synthetic.py',
        )
    ),
]


@pytest.fixture(scope='module')
def pictures(
    tmp_path_factory: pytest.TempPathFactory, free_body_dir: Path
) -> Path:
    """Five pictures, so that an epoch is not a whole number of batches."""
    folder = tmp_path_factory.mktemp('recipes') / 'pictures'
    load_script('tools/make_synthetic_dataset.py').main(
        [
            *(str(folder), '--images', '5', '--size', '96x72'),
            *('--people', '1', '--supersample', '1'),
            *('--body', str(free_body_dir)),
        ]
    )
    return folder


@pytest.fixture
def run(pictures: Path) -> Callable[..., None]:
    """Runs a command with a recipe; returns what it says."""

    def run(
        command: list[str], recipe: Recipe, *args: object, status: int = 0
    ) -> str:
        datasets = (
            'train_dataloader.dataset.datasets.0',
            'val_dataloader.dataset',
        )
        process = subprocess.run(
            [
                *command,
                *map(str, args),
                '--cfg-options',
                *(f'{name}.data_root={pictures}/' for name in datasets),
                'train_dataloader.batch_size=2',
                *recipe.options,
            ],
            cwd=ROOT,
            env=os.environ
            | dict(
                PYTHONPATH=os.pathsep.join([str(ROOT / 'tests'), str(ROOT)]),
                PYTHON=sys.executable,
                OMP_NUM_THREADS='1',
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert process.returncode == status, process.stdout[-5000:]
        return process.stdout

    return run


def _assert_same(one: Path, other: Path) -> None:
    a, b = (torch.load(path, weights_only=False) for path in (one, other))
    for name in ('state_dict', 'ema_state_dict', 'optimizer'):
        torch.testing.assert_close(a.get(name), b.get(name), rtol=0, atol=0)


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda x: Path(x.config).stem)
def test_killed_recipe_goes_on_exactly(run, recipe, tmp_path):
    python = [sys.executable, 'tools/train.py', recipe.config]
    killed = [
        *(sys.executable, '-c', SCRIPT.format(step=recipe.step)),
        recipe.config,
    ]
    run(python, recipe, '--work-dir', tmp_path / 'whole')
    out = tmp_path / 'out'
    run(killed, recipe, '--work-dir', out, status=-signal.SIGKILL)
    assert not (out / recipe.last).exists()
    log = run(python, recipe, '--work-dir', out, '--resume')
    assert 'resumed epoch' in log
    assert 'metainfo from the resumed checkpoint' not in log
    _assert_same(out / recipe.last, tmp_path / 'whole' / recipe.last)
    published = tmp_path / 'published.pth'
    publish = 'tools/model_converters/publish_model.py'
    load_script(publish).main([str(out / recipe.last), str(published)])
    assert len(list(tmp_path.glob('published-*.pth'))) == 1


@slow
def test_two_processes_go_on_exactly(run, tmp_path):
    command = ['bash', 'tools/dist_train.sh', STEPS.config, '2']
    run(command, STEPS, '--work-dir', tmp_path / 'whole')
    script = tmp_path / 'dying.py'
    script.write_text(SCRIPT.format(step=STEPS.step))
    killed = [
        *(sys.executable, '-m', 'torch.distributed.run', '--standalone'),
        *('--nproc-per-node', '2', str(script), STEPS.config),
        *('--launcher', 'pytorch'),
    ]
    run(killed, STEPS, '--work-dir', tmp_path / 'out', status=1)
    assert not (tmp_path / 'out' / STEPS.last).exists()
    run(command, STEPS, '--work-dir', tmp_path / 'out', '--resume')
    _assert_same(tmp_path / 'out/iter_4.pth', tmp_path / 'whole/iter_4.pth')
