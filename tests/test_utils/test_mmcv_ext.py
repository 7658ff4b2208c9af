# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The stand-in for ``mmcv._ext``.

What depends on a fresh interpreter runs in one, with a made-up mmcv: these
tests hold whether or not the real mmcv has compiled operators.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.structures import InstanceData
from script_loader import run_python

from aios.registry import MODELS
from aios.utils.mmcv_ext import (
    MissingOperatorError,
    has_compiled_ops,
)


def _run(code: str, path: Path) -> str:
    """Run code in which ``import mmcv`` finds the package in ``path``."""
    code = f'import sys; sys.path.insert(0, {str(path)!r})\n{code}'
    return run_python('-c', code).strip()


@pytest.fixture
def mmcv_path(tmp_path: Path) -> Path:
    """Folder with an mmcv that has no compiled operators."""
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').touch()
    return tmp_path


def test_operators_explain_themselves_when_called(mmcv_path: Path):
    code = """
from aios.utils.mmcv_ext import MissingOperatorError, install
install()
import mmcv._ext
assert callable(mmcv._ext.nms_rotated)
try:
    mmcv._ext.nms_rotated(1, key=2)
except MissingOperatorError as error:
    print(error)
"""
    message = _run(code, mmcv_path)
    assert '`mmcv._ext.nms_rotated`' in message
    assert 'AIOS_WITH_OPS=1' in message


def test_stand_in_is_an_ordinary_module(mmcv_path: Path):
    code = """
import copy, importlib, importlib.util, inspect, pickle
from aios.utils.mmcv_ext import install
install()
spec = importlib.util.find_spec('mmcv._ext')
import mmcv, mmcv._ext as ext
assert spec.name == ext.__spec__.name == ext.__name__ == 'mmcv._ext'
assert mmcv._ext is ext is importlib.import_module('mmcv._ext')
assert importlib.reload(ext) is ext
assert not hasattr(ext, '__file__') and not hasattr(ext, '__path__')
assert ext.nms is ext.nms
assert pickle.loads(pickle.dumps(ext.nms)) == ext.nms
assert copy.deepcopy(ext.nms) == ext.nms
assert inspect.getdoc(ext) and inspect.getmodule(install) is not ext
inspect.getmembers(ext)
assert 'no compiled' in ext.get_compiler_version()
"""
    _run(code, mmcv_path)


def test_a_real_extension_wins(mmcv_path: Path):
    (mmcv_path / 'mmcv' / '_ext.py').write_text('real = True')
    code = """
from aios.utils.mmcv_ext import has_compiled_ops, install
install()
import mmcv._ext
assert mmcv._ext.real and has_compiled_ops()
"""
    _run(code, mmcv_path)


def test_a_broken_extension_reports_its_own_error(mmcv_path: Path):
    (mmcv_path / 'mmcv' / '_ext.py').write_text(
        'raise ImportError("undefined symbol: torch")'
    )
    code = """
from aios.utils.mmcv_ext import install
install()
try:
    import mmcv._ext
except ImportError as error:
    print(error)
"""
    assert _run(code, mmcv_path) == 'undefined symbol: torch'


def test_install_twice_and_from_threads(mmcv_path: Path):
    code = """
import sys, threading
import mmcv
from aios.utils import mmcv_ext
before = len(sys.meta_path)
modules = []
def work():
    mmcv_ext.install()
    import mmcv._ext
    modules.append(mmcv._ext)
threads = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in threads], [t.join() for t in threads]
assert len(sys.meta_path) == before + 1
assert len(modules) == 16 and len(set(map(id, modules))) == 1
assert not mmcv_ext.has_compiled_ops()
"""
    _run(code, mmcv_path)


def test_without_mmcv_nothing_is_claimed(tmp_path: Path):
    code = """
import importlib.util
sys.path[:] = [p for p in sys.path if 'site-packages' not in p]
from aios.utils import mmcv_ext
mmcv_ext.install()
assert not mmcv_ext.has_compiled_ops()
try:
    import mmcv
except ModuleNotFoundError:
    print('missing')
"""
    assert _run(code, tmp_path) == 'missing'


def test_environment_report_works():
    from mmcv.utils import collect_env

    assert collect_env()['MMCV Compiler']


def _tiny_dino() -> torch.nn.Module:
    name = 'dino/dino-4scale_r50_8xb2-12e_coco'
    model = Config.fromfile(_mmdet_config(name)).model
    model.backbone.init_cfg = None
    model.num_queries = 12
    model.encoder.num_layers = model.decoder.num_layers = 1
    for coder in (model.encoder, model.decoder):
        coder.layer_cfg.ffn_cfg.feedforward_channels = 32
    model.bbox_head.num_classes = 2
    model.test_cfg = dict(max_per_img=5)
    model._scope_ = 'mmdet'
    detector = MODELS.build(model)
    detector.init_weights()  # its level_embed is uninitialized memory
    return detector


def _mmdet_config(name: str) -> Path:
    import mmdet

    return Path(mmdet.__file__).parent / '.mim' / 'configs' / f'{name}.py'


def test_mmdet_dino_trains_and_predicts_on_cpu():
    """MMDetection's own detector, from its own config, made small."""
    from mmdet.structures import DetDataSample

    torch.manual_seed(0)
    model = _tiny_dino()
    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 96),
            ori_shape=(64, 96),
            batch_input_shape=(64, 96),
            scale_factor=(1.0, 1.0),
        ),
        gt_instances=InstanceData(
            bboxes=torch.tensor([[8.0, 8.0, 40.0, 50.0]]),
            labels=torch.tensor([1]),
        ),
    )
    images = torch.rand(1, 3, 64, 96)

    losses = model.loss(images, [sample])
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert torch.isfinite(total)
    assert model.query_embedding.weight.grad.abs().sum() > 0

    model.eval()
    with torch.no_grad():
        (result,) = model.predict(images, [sample])
    assert result.pred_instances.bboxes.shape == (5, 4)


@pytest.mark.skipif(has_compiled_ops(), reason='mmcv has real operators')
def test_compiled_only_operator_says_so():
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(NotImplementedError, match='_ext.nms') as error:
        nms(boxes, torch.ones(1), 0.5)
    assert error.type is MissingOperatorError
