# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``tools/train.py`` and what it needs to go on after an accident."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.runner import FlexibleRunner, Runner
from script_loader import load_script
from torch.serialization import get_unsafe_globals_in_checkpoint

from aios.engine.fsdp import ShardedOptimWrapper
from aios.engine.launch import build_runner, unused_parameters_named
from aios.engine.optim import AsyncAmpOptimWrapper
from aios.utils import locking, safe_io

CONFIG = Path(__file__).parent / 'toy_config.py'
FORK = multiprocessing.get_context('fork')
STEPS = 12  # 3 epochs of 8 images in batches of 2


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=False)['state_dict']


def _same_weights(a: Path, b: Path) -> None:
    torch.testing.assert_close(_weights(a), _weights(b), rtol=0, atol=0)


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work folder for the first test that needs a training."""
    return tmp_path_factory.mktemp('trained')


@pytest.fixture
def whole(trained, train, losses, tmp_path) -> Path:
    """A copy of the work folder of a training that nothing happened to."""
    if not (trained / 'epoch_3.pth').exists():
        train('--work-dir', trained)
        assert sorted(losses(trained)) == [*range(1, STEPS + 1)]
    work_dir = tmp_path / 'whole'
    shutil.copytree(trained, work_dir)
    last = work_dir / 'last_checkpoint'
    last.write_text(last.read_text().replace(str(trained), str(work_dir)))
    return work_dir


def test_two_parts_are_a_whole(train, losses, whole, tmp_path):
    work_dir = tmp_path / 'parts'
    train('--work-dir', work_dir, '--cfg-options', 'train_cfg.max_epochs=2')
    assert len(losses(work_dir)) == 8
    train('--work-dir', work_dir, '--resume')
    assert losses(work_dir) == losses(whole)
    _same_weights(work_dir / 'epoch_3.pth', whole / 'epoch_3.pth')


@pytest.mark.parametrize('infinite', ['', 'Infinite'])
def test_two_parts_within_an_epoch(train, losses, tmp_path, infinite):
    """Steps count, and training is resumed in the middle of an epoch."""
    sampler = f'{infinite}WeightedConcatSampler'
    for name, *options in (
        ('whole',),
        ('parts', 'train_cfg.max_iters=6'),
        ('parts',),
    ):
        resume = ['--resume'] if (tmp_path / name).exists() else []
        train(
            *('--work-dir', tmp_path / name, *resume, '--cfg-options'),
            *(f'train_dataloader.sampler.type={sampler}', *options),
            config='toy_config_iters.py',
        )
    assert losses(tmp_path / 'parts') == losses(tmp_path / 'whole')
    assert len(losses(tmp_path / 'whole')) == STEPS


def test_two_parts_without_a_seed(train, losses, tmp_path):
    """The second one takes that of the first, also for its images."""
    parts, whole = tmp_path / 'parts', tmp_path / 'whole'
    options = '--cfg-options', 'randomness.seed=None', 'train_cfg.max_epochs=1'
    train('--work-dir', parts, *options)
    train('--work-dir', parts, '--resume', *options, 'train_cfg.max_epochs=2')
    meta = torch.load(parts / 'epoch_2.pth', weights_only=False)['meta']
    train(
        *('--work-dir', whole, '--cfg-options', 'train_cfg.max_epochs=2'),
        f'randomness.seed={meta["seed"]}',
    )
    assert losses(parts) == losses(whole)


def test_checkpoints_in_another_folder(train, losses, whole, tmp_path):
    """MMEngine's ``out_dir``, for instance on a larger disk."""
    work_dir = tmp_path / 'elsewhere'
    options = f'default_hooks.checkpoint.out_dir={tmp_path / "disk"}'
    for epochs in (1, 3):
        resume = ['--resume'] if work_dir.exists() else []
        train(
            *('--work-dir', work_dir, *resume, '--cfg-options', options),
            f'train_cfg.max_epochs={epochs}',
        )
    assert losses(work_dir) == losses(whole)
    last = tmp_path / 'disk/elsewhere/epoch_3.pth'
    _same_weights(last, whole / 'epoch_3.pth')


def test_damaged_checkpoint(train, losses, whole, tmp_path, capfd):
    work_dir = tmp_path / 'moved'
    shutil.copytree(whole, work_dir)
    shutil.rmtree(next(work_dir.glob('*/vis_data')).parent)
    last = work_dir / 'epoch_3.pth'
    last.write_bytes(last.read_bytes()[:-200])
    capfd.readouterr()
    train('--work-dir', work_dir, '--resume', 'auto')
    log = ''.join(capfd.readouterr())
    assert f'cannot resume from {last}' in log
    assert f'resuming from {work_dir / "epoch_2.pth"}' in log
    assert losses(work_dir) == {
        step: loss for step, loss in losses(whole).items() if step > 8
    }
    _same_weights(last, whole / 'epoch_3.pth')


def test_all_checkpoints_damaged(train, whole):
    for path in whole.glob('*.pth'):
        path.write_bytes(b'')
    with pytest.raises(SystemExit, match='omit --resume'):
        train('--work-dir', whole, '--resume')


@pytest.mark.parametrize('damaged', [False, True])
def test_nothing_to_resume_from(train, whole, tmp_path, monkeypatch, damaged):
    """A job that always says --resume starts with the given weights."""
    work_dir = tmp_path / 'new'
    if damaged:
        work_dir.mkdir()
        (work_dir / 'epoch_1.pth').write_bytes(b'')
    given = whole / 'epoch_3.pth'
    loaded = []
    monkeypatch.setattr(
        Runner, 'load_checkpoint', lambda _, path: loaded.append(Path(path))
    )
    train(
        *('--work-dir', work_dir, '--resume', '--cfg-options'),
        *(f'load_from={given}', 'train_cfg.max_epochs=1'),
    )
    assert loaded == [given]
    assert (work_dir / 'epoch_1.pth').stat().st_size > 0


def test_checkpoint_without_the_state_of_a_training(train, whole):
    """Whole, but not written by a training; named with what it lacks."""
    path = whole / 'weights.pth'
    content = torch.load(whole / 'epoch_3.pth', weights_only=False)
    torch.save(dict(content, message_hub={}), path)
    with pytest.raises(SystemExit, match=r'weights\.pth: .*no log_scalars'):
        train('--work-dir', whole, '--resume', path)


def test_checkpoint_without_the_optimizer(train, whole, capfd):
    """As MMEngine saves the best one."""
    content = torch.load(whole / 'epoch_2.pth', weights_only=False)
    del content['optimizer']
    torch.save(content, whole / 'best.pth')
    capfd.readouterr()
    train('--work-dir', whole, '--resume', whole / 'best.pth')
    assert 'best.pth: no state of the optim' in ''.join(capfd.readouterr())


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('optim_wrapper.optimizer.type=SGD', 'betas, not 4 .* momentum;'),
        ('optim_wrapper.paramwise_cfg=None', '4 groups .* not 4 .* 1 groups'),
    ],
)
def test_another_optimizer(train, whole, option, message):
    with pytest.raises(SystemExit, match=f'epoch_3.pth: its .*{message}'):
        train('--work-dir', whole, '--resume', '--cfg-options', option)


def test_averages_without_their_hook(train, whole, capfd):
    options = '--cfg-options', 'train_cfg.max_epochs=4', 'custom_hooks=[]'
    train('--work-dir', whole, '--resume', whole / 'epoch_3.pth', *options)
    assert 'continues from the averages' in ''.join(capfd.readouterr())


def test_checkpoints_hold_plain_data(whole):
    path = whole / 'epoch_3.pth'
    types = get_unsafe_globals_in_checkpoint(path)
    assert not [name for name in types if 'config' in name]
    meta = torch.load(path, weights_only=False)['meta']['dataset_meta']
    assert type(meta['body_model']) is dict
    assert meta['body_model'] == dict(type='SMPLXLayer', model_path='free')


def test_resume_knows_its_data_set(train, whole, capfd):
    capfd.readouterr()
    train(
        *('--work-dir', whole, '--resume'),
        *('--cfg-options', 'train_cfg.max_epochs=4'),
    )
    log = ''.join(capfd.readouterr())
    assert 'resumed epoch: 3' in log
    assert 'metainfo from the resumed checkpoint' not in log


def test_full_disk_leaves_no_half_checkpoint(train, whole, tmp_path, capfd):
    """A limit for the size of files stands for the disk."""
    work_dir = tmp_path / 'full'
    limit = (whole / 'epoch_1.pth').stat().st_size - 1  # logs are smaller

    def train_on_full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        train('--work-dir', work_dir)

    process = FORK.Process(target=train_on_full_disk)
    process.start()
    process.join(300)
    assert process.exitcode == 1
    assert 'File too large' in ''.join(capfd.readouterr())
    assert not [*work_dir.glob('epoch_*'), *work_dir.glob('.*.tmp')]
    train('--work-dir', work_dir, '--resume')
    _same_weights(work_dir / 'epoch_3.pth', whole / 'epoch_3.pth')


def test_two_trainings_in_one_folder(train, whole, monkeypatch):
    monkeypatch.setattr(locking, '_PATIENCE', 0.0)
    with (
        locking.folder_lock(whole),
        pytest.raises(SystemExit, match='whole: another run is using'),
    ):
        train('--work-dir', whole, '--resume')


def test_half_written_files_of_a_killed_run_go(train, whole):
    left = whole / f'.epoch_3.pth.{"0" * 32}.tmp'
    left.touch()
    other = whole / '.notes.tmp'
    other.touch()
    train('--work-dir', whole, '--resume')
    assert not left.exists()
    assert other.exists()


def test_outdated_checkpoints_go_last(train, whole, monkeypatch):
    """There is something to resume from while a checkpoint is written."""
    there: list[list[str]] = []

    def replace(*args: object) -> None:
        there.append(sorted(p.name for p in whole.glob('epoch_*.pth')))
        os.rename(*args)

    monkeypatch.setattr(safe_io.os, 'replace', replace)
    train(
        *('--work-dir', whole, '--resume', '--cfg-options'),
        *('train_cfg.max_epochs=4', 'default_hooks.checkpoint.interval=1'),
        'default_hooks.checkpoint.max_keep_ckpts=1',
    )
    assert there[0] == ['epoch_3.pth']
    assert sorted(p.name for p in whole.glob('epoch_*.pth')) == ['epoch_4.pth']
    last = (whole / 'last_checkpoint').read_text()
    assert last == str(whole / 'epoch_4.pth')


def test_resume_from_a_file(train, losses, whole, tmp_path):
    work_dir = tmp_path / 'other'
    train('--work-dir', work_dir, '--resume', whole / 'epoch_2.pth')
    assert losses(work_dir) == {
        step: loss for step, loss in losses(whole).items() if step > 8
    }


def test_earlier_training_is_not_replaced_silently(train, whole):
    with pytest.warns(UserWarning, match='--resume'):
        train('--work-dir', whole)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--resume', 'nowhere.pth'], 'nowhere.pth: no such file'),
        (['--amp'], '--amp needs a GPU'),
        (
            [
                '--amp',
                '--cfg-options',
                'optim_wrapper.type=ShardedOptimWrapper',
            ],
            'not for FSDP',
        ),
        (
            ['--amp', '--cfg-options', 'optim_wrapper.type=my.Wrapper'],
            'replaces OptimWrapper and .*type is Wrapper',
        ),
        (['--launcher', 'pytorch'], 'did not set WORLD_SIZE; .*dist_train'),
        (['--launcher', 'slurm'], 'did not set SLURM_PROCID'),
        (['--cfg-options', 'train_cfg=None'], 'has no train_cfg'),
    ],
)
def test_errors(train, tmp_path, monkeypatch, options, message):
    for variable in ('WORLD_SIZE', 'SLURM_PROCID'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match=message):
        train('--work-dir', tmp_path, *options)


def test_types_of_new_style_configs(monkeypatch):
    """Classes are known like names."""
    tool = load_script('tools/train.py')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    half = dict(type=AsyncAmpOptimWrapper, dtype='float16')
    config = Config(dict(optim_wrapper=half))
    tool.use_mixed_precision(config)
    assert config.optim_wrapper.dtype == 'float16'
    config = Config(dict(optim_wrapper=dict(type=ShardedOptimWrapper)))
    with pytest.raises(SystemExit, match='not for FSDP'):
        tool.use_mixed_precision(config)
    averaged = dict(custom_hooks=[dict(type=EMAHook)])
    for runner in (FlexibleRunner, 'FlexibleRunner'):
        with pytest.raises(ValueError, match='EMAHook does not support'):
            build_runner(Config(dict(averaged, runner_type=runner)))


def test_learning_rate_follows_the_batch_size(train, tmp_path):
    train(
        *('--work-dir', tmp_path, '--auto-scale-lr', '--cfg-options'),
        *('train_dataloader.batch_size=4', 'train_cfg.max_epochs=1'),
    )
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    rates = [group['lr'] for group in state['optimizer']['param_groups']]
    assert sorted(set(rates)) == pytest.approx([0.002, 0.02])
    config = Config.fromfile(tmp_path / CONFIG.name)
    assert config.train_cfg.max_epochs == 1  # the config goes along


def test_tensorboard(train, tmp_path):
    train(
        *('--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1'),
        *('train_cfg.val_interval=1', 'train_dataloader.num_workers=0'),
        'train_dataloader.persistent_workers=False',
        'visualizer.vis_backends.0.type=TensorboardVisBackend',
    )
    (events,) = tmp_path.glob('*/vis_data/events.*')
    content = events.read_bytes()
    assert b'loss' in content
    assert b'val_000005_image' in content


def test_default_hooks_are_removed_by_none(train, tmp_path):
    train(
        *('--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1'),
        *('train_cfg.val_interval=1', 'default_hooks.visualization=None'),
        'default_hooks.param_scheduler=None',
    )
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert not list(tmp_path.glob('*/vis_data/vis_image'))


def test_images_of_validations(whole):
    drawn = [p.name for p in whole.glob('*/vis_data/vis_image/**/*.png')]
    assert sorted(drawn) == [
        'val_000000_image_3.png',
        'val_000005_image_3.png',
    ]


@pytest.mark.slow
def test_kill_and_resume(start, train, losses, whole, tmp_path):
    work_dir = tmp_path / 'killed'
    process = start(
        *(os.environ['PYTHON'], 'tools/train.py', CONFIG),
        *('--work-dir', work_dir, '--cfg-options'),
        'train_cfg.max_epochs=100000',
    )
    while len(losses(work_dir)) < 9 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = losses(work_dir)
    train(
        *('--work-dir', work_dir, '--resume', '--cfg-options'),
        f'train_cfg.max_epochs={max(3, max(done) // 4 + 1)}',
    )
    together = losses(work_dir)
    assert {step: together[step] for step in losses(whole)} == losses(whole)


@pytest.mark.slow
def test_two_processes(start, evaluate, tmp_path, losses):
    """Train and evaluate through the scripts, on gloo."""
    process = start(
        *('bash', 'tools/dist_train.sh', CONFIG, 2, '--work-dir', tmp_path),
    )
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output
    assert '8 samples per epoch, 4 per rank (2 ranks)' in output
    assert len(losses(tmp_path)) == STEPS // 2

    checkpoint = tmp_path / 'epoch_3.pth'
    out = tmp_path / 'two.pkl'
    process = start(
        *('bash', 'tools/dist_test.sh', CONFIG, checkpoint, 2),
        *('--work-dir', tmp_path / 'test', '--out', out),
    )
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output
    assert out.exists()
    one = evaluate(checkpoint, '--work-dir', tmp_path / 'test')
    shown = dict(
        line.split()
        for line in output.splitlines()[-40:]
        if line.startswith('whole_body/')
    )
    assert {k: float(v) for k, v in shown.items()} == pytest.approx(one)


@pytest.mark.slow
def test_unused_parameters(start, tmp_path):
    """DistributedDataParallel has an option for them, and so has a config."""
    command = (
        *('bash', 'tools/dist_train.sh', CONFIG, 2, '--work-dir', tmp_path),
        *('--cfg-options', 'model.with_unused=True', 'train_cfg.max_epochs=1'),
    )
    process = start(*command)
    output = process.communicate(timeout=500)[0]
    assert process.returncode != 0
    assert 'Set find_unused_parameters = True in the config' in output
    process = start(*command, 'find_unused_parameters=True')
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output


def test_other_errors_of_a_training_stay_as_they_are():
    error = RuntimeError('DataLoader worker exited')
    with pytest.raises(RuntimeError) as found, unused_parameters_named():
        raise error
    assert found.value is error
    message = 'enable ... `find_unused_parameters=True` to ...'
    with (
        pytest.raises(ValueError, match='Set find_unused_parameters = True'),
        unused_parameters_named(),
    ):
        raise RuntimeError(message)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['default_hooks.logger.interval.x=1'], r'interval\.x=1 does not fit'),
        (['model.type=Nothing'], 'Nothing'),
        (['model.num_queries=many'], 'num_queries|str'),
        (['train_dataloader.dataset.ann_file=gone.npz'], 'ann_file'),
        (['train_dataloader.dataset.color=red'], 'color'),
        (['optim_wrapper.type=Guess'], 'Guess'),
        (['optim_wrapper.optimizer.type=Guess'], r'optimizer\.type: .*Guess'),
        (['train_cfg.max_epochs=few'], 'few|str'),
        (['compile=True'], 'compile: .*docs/en/deployment.md'),
        (['runner_type=FlexibleRunner'], 'EMAHook .* docs/en/scale.md'),
    ],
)
def test_wrong_options_end_in_one_line(train, options, message, tmp_path):
    with pytest.raises(SystemExit, match=f'(?s)error: .*({message})'):
        train('--work-dir', tmp_path / 'run', '--cfg-options', *options)
