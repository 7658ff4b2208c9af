# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Every recipe that needs no foreign data goes on after it was killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmengine.runner import (
    BaseLoop,
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
)
from script_loader import load_script

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from script_loader import load_script
from test_resume_recipes import die_at

die_at({step})
load_script('tools/train.py').main(sys.argv[1:])
"""


def die_at(step: int) -> None:
    """Trainings of this process are killed before a step."""

    def dying(run_iter: Callable) -> Callable:
        def run(loop: BaseLoop, *args: object) -> None:
            if loop._iter == step:
                os.kill(os.getpid(), signal.SIGKILL)
            run_iter(loop, *args)

        return run

    for loop in (EpochBasedTrainLoop, IterBasedTrainLoop):
        loop.run_iter = dying(loop.run_iter)


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
# Steps of the same kind go on exactly in test_train.
pytestmark = pytest.mark.slow
RECIPES = [
    STEPS,
    FINETUNE,
    *(
        Recipe(path, EPOCHS, 5, 'epoch_3.pth')
        for path in (
            'configs/aios/aios_tiny_1xb8-24e_synthetic.py',
            'aios/configs/aios_tiny_1xb8_24e_synthetic.py',
        )
    ),
]


@pytest.fixture(scope='module')
def images(
    tmp_path_factory: pytest.TempPathFactory, free_body_dir: Path
) -> Path:
    """Five images, so that an epoch is not a whole number of batches."""
    folder = tmp_path_factory.mktemp('recipes') / 'images'
    load_script('tools/make_synthetic_dataset.py').main(
        [
            *(str(folder), '--images', '5', '--size', '96x72'),
            *('--persons', '1', '--supersample', '1'),
            *('--body', str(free_body_dir)),
        ]
    )
    return folder


@pytest.fixture
def options(images: Path) -> Callable[[Recipe], list[str]]:
    """Options of a command that trains with a recipe."""
    datasets = 'train_dataloader.dataset.datasets.0', 'val_dataloader.dataset'
    return lambda recipe: [
        '--cfg-options',
        *(f'{name}.data_root={images}/' for name in datasets),
        'train_dataloader.batch_size=2',
        *recipe.options,
    ]


def _assert_same(one: Path, other: Path) -> None:
    a, b = (torch.load(path, weights_only=False) for path in (one, other))
    for name in ('state_dict', 'ema_state_dict', 'optimizer'):
        torch.testing.assert_close(a.get(name), b.get(name), rtol=0, atol=0)


def _killed(train: Callable[[], None], step: int) -> int:
    """Train in a copy of this process; returns the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            die_at(step)
            train()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda x: Path(x.config).stem)
def test_killed_recipe_goes_on_exactly(
    train, options, recipe, tmp_path, capfd
):
    def run(name: str, *args: object) -> None:
        args = '--work-dir', tmp_path / name, *args, *options(recipe)
        train(*args, config=ROOT / recipe.config)

    run('whole')
    assert _killed(lambda: run('out'), recipe.step) == signal.SIGKILL
    out = tmp_path / 'out'
    assert not (out / recipe.last).exists()
    capfd.readouterr()
    run('out', '--resume')
    log = ''.join(capfd.readouterr())
    assert 'resumed epoch' in log
    assert 'metainfo from the resumed checkpoint' not in log
    _assert_same(out / recipe.last, tmp_path / 'whole' / recipe.last)
    published = tmp_path / 'published.pth'
    publish = 'tools/model_converters/publish_model.py'
    load_script(publish).main([str(out / recipe.last), str(published)])
    assert len(list(tmp_path.glob('published-*.pth'))) == 1


def test_two_processes_go_on_exactly(start, options, tmp_path, monkeypatch):
    tests = ROOT / 'tests'
    paths = os.pathsep.join(map(str, (tests, tests / 'test_tools', ROOT)))
    monkeypatch.setenv('PYTHONPATH', paths)

    def run(name: str, *command: object) -> tuple[int, str]:
        process = start(
            *(*command, '--work-dir', tmp_path / name, *options(STEPS)),
        )
        log = process.communicate(timeout=600)[0]
        return process.returncode, log[-5000:]

    command = 'bash', 'tools/dist_train.sh', STEPS.config, '2'
    status, log = run('whole', *command)
    assert status == 0, log
    script = tmp_path / 'dying.py'
    script.write_text(SCRIPT.format(step=STEPS.step))
    killed = (
        *(sys.executable, '-m', 'torch.distributed.run', '--standalone'),
        *('--nproc-per-node', '2', script, STEPS.config),
        *('--launcher', 'pytorch'),
    )
    status, log = run('out', *killed)
    assert status == 1, log
    assert 'Signal 9' in log
    assert not (tmp_path / 'out' / STEPS.last).exists()
    status, log = run('out', *command, '--resume')
    assert status == 0, log
    _assert_same(tmp_path / 'out/iter_4.pth', tmp_path / 'whole/iter_4.pth')
