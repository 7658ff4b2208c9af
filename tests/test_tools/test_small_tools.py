# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The tools that people know from other OpenMMLab projects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_state_dict
from mmengine.runner.checkpoint import CheckpointLoader
from script_loader import load_script
from torch import nn

from aios.models.checkpoints import install_loader, read_checkpoint

ROOT = Path(__file__).parents[2]
SCHEDULE = ROOT / 'configs/aios/aios_r50_8xb2-20e_agora.py'
TOOLS = [
    'analysis_tools/analyze_logs',
    'analysis_tools/benchmark',
    'analysis_tools/get_flops',
    'analysis_tools/vis_scheduler',
    'misc/print_config',
    'model_converters/publish_model',
]


def _main(name: str) -> Callable[..., None]:
    module = load_script(f'tools/{name}.py')
    return lambda *args: module.main([*map(str, args)])


@pytest.mark.parametrize('name', TOOLS)
def test_help(name: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as status:
        _main(name)('--help')
    assert not status.value.code
    text = capsys.readouterr().out
    assert f'python tools/{name}.py' in text, 'an example'


class TestPrintConfig:
    run = staticmethod(_main('misc/print_config'))

    def test_prints_and_saves_what_is_inherited(self, tmp_path, capsys):
        path = tmp_path / 'new' / 'whole.py'
        self.run(
            ROOT / 'configs/aios/aios_r50.py', '--save-path', path,
            '--cfg-options', 'model.num_queries=7',
        )  # fmt: skip
        assert 'WholeBodyVisualizer' in capsys.readouterr().out
        saved = Config.fromfile(path)
        assert saved.model.type == 'AiOS'
        assert saved.model.num_queries == 7

    def test_overwrites_nothing(self, tmp_path):
        path = tmp_path / 'whole.py'
        path.touch()
        with pytest.raises(SystemExit, match='whole.py exists.*--overwrite'):
            self.run(SCHEDULE, '--save-path', path)
        with pytest.raises(SystemExit, match=r"allowed are \('\.py'"):
            self.run(SCHEDULE, '--save-path', tmp_path / 'whole.txt')
        assert path.read_text() == ''

    def test_missing_config(self, tmp_path):
        with pytest.raises(SystemExit, match='no-such'):
            self.run(tmp_path / 'no-such.py')


class TestAnalyzeLogs:
    run = staticmethod(_main('analysis_tools/analyze_logs'))

    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        """Two runs; the second repeats a step of the first."""
        runs = {
            '20260101_000000': [(1, 1, 9.0), (1, 2, 0.5), (1, 3, 77.0)],
            '20260101_000100': [(1, 3, 0.7), (2, 4, 8.0), (2, 5, 0.4)],
        }
        for name, lines in runs.items():
            path = tmp_path / name / 'vis_data' / 'scalars.json'
            path.parent.mkdir(parents=True)
            records = [
                dict(epoch=epoch, step=step, time=time, loss=1 / step)
                for epoch, step, time in lines
            ]
            records.append({'whole_body/F1': 0.5, 'step': lines[-1][1]})
            path.write_text(''.join(json.dumps(r) + '\n' for r in records))
        return tmp_path

    def test_time(self, log, capsys):
        self.run('cal_train_time', log / '20260101_000100')
        text = capsys.readouterr().out
        # The first line of each epoch does not count.
        assert 'fastest epoch 2: 0.4000 s/iter' in text
        self.run('cal_train_time', log / '20260101_000100',
                 '--include-outliers')  # fmt: skip
        assert 'slowest epoch 2: 4.2000 s/iter' in capsys.readouterr().out

    def test_curve(self, log, tmp_path):
        out = tmp_path / 'curve.png'
        keys = '--keys', 'loss', 'whole_body/F1'
        self.run('plot_curve', log, *keys, '--out', out)
        assert cv2.imread(str(out)).std() > 1
        with pytest.raises(SystemExit, match='curve.png exists'):
            self.run('plot_curve', log, *keys, '--out', out)

    def test_curve_of_two_runs(self, log):
        module = load_script('tools/analysis_tools/analyze_logs.py')
        steps, values = module.curve_of(module.read_log(log), 'time')
        assert steps == [1, 2, 3, 4, 5]
        assert values == [9.0, 0.5, 0.7, 8.0, 0.4], 'the repeated step counts'

    def test_faults(self, log, tmp_path):
        out = tmp_path / 'curve.png'
        with pytest.raises(SystemExit, match="'mAP'; there are epoch, loss"):
            self.run('plot_curve', log, '--keys', 'mAP', '--out', out)
        with pytest.raises(SystemExit, match='there is no scalars.json'):
            self.run('cal_train_time', tmp_path / 'nowhere')
        broken = tmp_path / 'broken.json'
        broken.write_text('{"step": 1}\n{"st')
        with pytest.raises(SystemExit, match='broken.json:2: '):
            self.run('cal_train_time', broken)
        assert not out.exists()


class TestPublishModel:
    run = staticmethod(_main('model_converters/publish_model'))

    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        weights = nn.Linear(2, 3).state_dict()
        average = {f'module.{k}': v + 1 for k, v in weights.items()}
        path = tmp_path / 'epoch_1.pth'
        meta = dict(epoch=1, cfg='a = 1', hook_msgs={'best': '/home/me/x'})
        torch.save(
            dict(
                meta=meta,
                state_dict=weights,
                ema_state_dict=dict(average, steps=torch.tensor(3)),
                optimizer=dict(state=[torch.zeros(9)]),
            ),
            path,
        )
        return path

    @pytest.mark.parametrize('options', [[], ['--safetensors'], ['--ema']])
    def test_publishes(self, checkpoint, tmp_path, options):
        self.run(checkpoint, tmp_path / 'out' / 'model.pth', *options)
        (path,) = (tmp_path / 'out').iterdir()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        suffix = 'safetensors' if '--safetensors' in options else 'pth'
        assert path.name == f'model-{digest[:8]}.{suffix}'
        content = read_checkpoint(path)
        assert set(content) == {'meta', 'state_dict'}
        assert content['meta']['cfg'] == 'a = 1'
        assert 'hook_msgs' not in content['meta'], "somebody's folders"
        original = torch.load(checkpoint, weights_only=True)['state_dict']
        shift = 1 if '--ema' in options else 0
        for name, value in original.items():
            torch.testing.assert_close(
                content['state_dict'][name], value + shift
            )

    def test_mmengine_loads_safetensors(
        self, checkpoint, tmp_path, monkeypatch
    ):
        schemes = dict(CheckpointLoader._schemes)
        monkeypatch.setattr(CheckpointLoader, '_schemes', schemes)
        install_loader()
        self.run(checkpoint, tmp_path / 'model', '--safetensors')
        (path,) = tmp_path.glob('*.safetensors')
        content = CheckpointLoader.load_checkpoint(str(path), 'cpu')
        model = nn.Linear(2, 3)
        load_state_dict(model, content['state_dict'], strict=True)

    def test_faults(self, checkpoint, tmp_path):
        out = tmp_path / 'model'
        with pytest.raises(SystemExit, match='epoch_1.pth: no entry nothing'):
            self.run(checkpoint, out, '--save-keys', 'nothing')
        with pytest.raises(SystemExit, match='safetensors hold meta'):
            self.run(checkpoint, out, '--safetensors', '--save-keys',
                     'state_dict', 'optimizer')  # fmt: skip
        with pytest.raises(SystemExit, match='no such checkpoint'):
            self.run(tmp_path / 'nobody.pth', out)
        damaged = tmp_path / 'damaged.safetensors'
        damaged.write_bytes(b'\x08' + bytes(20))
        with pytest.raises(SystemExit, match='damaged'):
            self.run(damaged, out)
        assert not list(tmp_path.glob('model*'))
        self.run(checkpoint, out)
        with pytest.raises(SystemExit, match='exists.*--overwrite'):
            self.run(checkpoint, out)


class TestVisScheduler:
    run = staticmethod(_main('analysis_tools/vis_scheduler'))

    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        path = tmp_path / 'schedule.py'
        path.write_text(
            "train_dataloader = dict(batch_size=2, sampler=dict(type='A'))\n"
            "train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)\n"
            "optim_wrapper = dict(type='OptimWrapper', "
            "optimizer=dict(type='AdamW', lr=1.0), paramwise_cfg="
            'dict(custom_keys={"backbone": dict(lr_mult=0.1)}))\n'
            'param_scheduler = [dict(type="LinearLR", start_factor=0.5, '
            'by_epoch=False, begin=0, end=2), '
            'dict(type="MultiStepLR", milestones=[3], end=4)]\n'
        )
        return path

    def test_values(self, config, tmp_path, capsys):
        out = tmp_path / 'lr.png'
        # 24 pictures, 2 x 3 a step: 4 steps an epoch
        self.run(config, '--dataset-size', 24, '--gpus', 3, '--out', out)
        text = capsys.readouterr().out
        assert 'other: 16 steps, first 0.5, highest 1, last 0.1' in text
        assert 'backbone: 16 steps, first 0.05, highest 0.1, last 0.01' in text
        assert cv2.imread(str(out)).std() > 1

    def test_momentum(self, config, tmp_path, capsys):
        self.run(config, '--dataset-size', 24, '--parameter', 'momentum',
                 '--out', tmp_path / 'm.png')  # fmt: skip
        assert 'first 0.9, highest 0.9, last 0.9' in capsys.readouterr().out

    def test_published_schedule(self, tmp_path, capsys):
        self.run(SCHEDULE, '--dataset-size', 160, '--gpus', 8,
                 '--out', tmp_path / 'lr.png')  # fmt: skip
        assert 'other: 200 steps' in capsys.readouterr().out

    def test_faults(self, config, tmp_path):
        with pytest.raises(SystemExit, match='--dataset-size is needed'):
            self.run(config, '--out', tmp_path / 'lr.png')
        out = tmp_path / 'there.png'
        out.touch()
        with pytest.raises(SystemExit, match='there.png exists'):
            self.run(config, '--dataset-size', 8, '--out', out)
        with pytest.raises(SystemExit, match='has no optim_wrapper'):
            self.run(ROOT / 'configs/aios/aios_r50.py')
