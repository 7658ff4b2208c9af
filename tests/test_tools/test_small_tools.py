# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The tools of other OpenMMLab projects."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

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
    'analysis_tools/benchmark',
    'analysis_tools/get_flops',
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


@pytest.mark.parametrize(
    'line',
    [
        'misc/check_humandata x.npz --samples -1',
        'misc/check_submission x.zip --max-faults -1',
        'analysis_tools/results_table x.json --digits -1',
        'analysis_tools/worst_cases c x.pkl --out o --score-thr nan',
        'analysis_tools/error_by_joint c x.pkl --out o --iou-thr 2',
        'dataset_converters/rotate_bedlam_closeups x --workers 0',
    ],
)
def test_numbers_out_of_range(line: str, capsys: pytest.CaptureFixture):
    name, *options = line.split()
    with pytest.raises(SystemExit):
        _main(name)(*options)
    assert f"'{options[-1]}' is not" in capsys.readouterr().err


def test_examples_keep_their_line_breaks() -> None:
    """Of a text that is not raw Python drops them, but not the indent."""
    scripts = [*(ROOT / 'demo').glob('*.py'), *(ROOT / 'tools').rglob('*.py')]
    assert len(scripts) > 20
    for path in scripts:
        text = ast.get_docstring(ast.parse(path.read_text())) or ''
        assert not re.search(r'python .*\S {5,}[^\s#]', text), path


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
        with pytest.raises(SystemExit, match=r"allowed suffixes are \('\.py'"):
            self.run(SCHEDULE, '--save-path', tmp_path / 'whole.txt')
        assert path.read_text() == ''


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
        with pytest.raises(
            SystemExit, match='epoch_1.pth: has no entry nothing'
        ):
            self.run(checkpoint, out, '--save-keys', 'nothing')
        with pytest.raises(SystemExit, match='safetensors files contain meta'):
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
