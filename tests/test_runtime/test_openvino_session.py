# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""OpenVINO in the place of ONNX Runtime.

Slow, as its threads do not survive the forks of other tests: run this file
alone.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aios.apis.cli import add_options, make_inferencer
from aios.runtime import OnnxDetector, OnnxError, make_session
from aios.runtime.openvino_session import OpenVINOSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec('openvino') is None, reason='no OpenVINO'),
]
OFFSET = 1000  # numbers of bfloat16 are 4 apart there


def _save(path: Path, prefix: str = 'model.backbone') -> Path:
    """``conv(images - sizes.sum()) + 1000``, in any size."""
    weight = np.random.default_rng(0).normal(size=(16, 3, 3, 3))
    nodes = [
        helper.make_node('Cast', ['sizes'], ['real'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['real'], ['mean'], keepdims=0),
        helper.make_node('Sub', ['images', 'mean'], ['shifted']),
        helper.make_node(
            'Conv', ['shifted', f'{prefix}.weight'], ['map'], pads=[1] * 4
        ),
        helper.make_node('Add', ['map', 'offset'], ['far']),
    ]
    graph = helper.make_graph(
        nodes,
        'network',
        [
            helper.make_tensor_value_info(
                'images', TensorProto.FLOAT, ['B', 3, 'H', 'W']
            ),
            helper.make_tensor_value_info(
                'sizes', TensorProto.INT64, ['B', 2]
            ),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in ('far', 'map')
        ],
        [
            numpy_helper.from_array(
                weight.astype(np.float32), f'{prefix}.weight'
            ),
            numpy_helper.from_array(
                np.full((1, 1, 1, 1), OFFSET, np.float32), 'offset'
            ),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9
    )
    helper.set_model_props(model, {'aios': '{"model": "toy"}'})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope='module')
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp('openvino') / 'toy.onnx')


def _inputs(height: int, width: int, batch: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(height)
    images = rng.uniform(0, 255, (batch, 3, height, width))
    sizes = np.full((batch, 2), (height, width))
    return dict(images=images.astype(np.float32), sizes=sizes)


def test_float32_as_onnx_runtime(path: Path) -> None:
    """For images and batches of several sizes, one after the other."""
    theirs, ours = make_session(path), OpenVINOSession(path, 1)

    names = [x.name for x in ours.get_outputs()]
    assert names == [x.name for x in theirs.get_outputs()]
    for inputs in (_inputs(8, 6), _inputs(5, 7, 2), _inputs(8, 6)):
        for x, y in zip(
            ours.run(None, inputs), theirs.run(None, inputs), strict=True
        ):
            np.testing.assert_allclose(x, y, atol=2e-3)


def test_description(path: Path) -> None:
    """Is read as ONNX Runtime reads it."""
    ours = OpenVINOSession(path).get_modelmeta().custom_metadata_map
    assert ours == make_session(path).get_modelmeta().custom_metadata_map


def test_results_are_not_reused(path: Path) -> None:
    """The next image leaves those of the one before alone."""
    session = OpenVINOSession(path, 1)
    inputs = _inputs(8, 6)
    before = session.run(None, inputs)[0]
    kept = before.copy()
    session.run(None, {**inputs, 'images': inputs['images'] + 1})
    np.testing.assert_array_equal(before, kept)


def test_threads_share_a_session(path: Path) -> None:
    """Each gets the results of its own images."""
    session = OpenVINOSession(path, 1)
    inputs = _inputs(64, 64)
    images = [inputs['images'] + number for number in range(32)]
    batches = [{**inputs, 'images': image} for image in images]
    wanted = [session.run(None, batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda batch: session.run(None, batch)[0], batches)
        for one, other in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_bfloat16_is_for_the_backbone(path: Path) -> None:
    """What comes after it keeps the precision of float32."""
    try:
        session = OpenVINOSession(path, 1, 'bfloat16')
    except OnnxError as error:
        pytest.skip(str(error))
    inputs = _inputs(64, 64)
    far, near = session.run(None, inputs)
    exact = make_session(path).run(None, inputs)[1]
    error = np.abs(near - exact)
    assert 1e-3 < error.mean() < 0.01 * np.abs(exact).mean()
    np.testing.assert_allclose(far - near, OFFSET, atol=1e-3)


def test_bfloat16_needs_a_backbone(tmp_path: Path) -> None:
    path = _save(tmp_path / 'other.onnx', 'model.neck')
    try:
        session = OpenVINOSession(path, 1, 'bfloat16')
    except OnnxError as error:
        pytest.skip(str(error))
    with pytest.raises(ValueError, match='python -m aios export.*backbone'):
        session.run(None, _inputs(8, 6))


def test_processors_without_bfloat16(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Core:
        def get_property(self, *_: str) -> list[str]:
            return ['FP32', 'INT8']

    monkeypatch.setattr('openvino.Core', Core)
    with pytest.raises(OnnxError, match='FP32, INT8; use float32'):
        OpenVINOSession(path, dtype='bfloat16')


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / 'text.onnx'
    path.write_text('no network')
    with pytest.raises(ValueError, match='text.onnx: OpenVINO .* cannot read'):
        OpenVINOSession(path)


def test_other_dtypes(path: Path) -> None:
    with pytest.raises(
        ValueError, match="one of float32, bfloat16, got 'int8'"
    ):
        OpenVINOSession(path, dtype='int8')


def test_without_openvino(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(OnnxError, match='pip install openvino'):
        OnnxDetector(path, runtime='openvino')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dtype='bfloat16'), 'dtype bfloat16 needs runtime openvino'),
        (dict(runtime='tensorrt'), "one of onnx, openvino, got 'tensorrt'"),
        (dict(runtime='openvino', device='cuda'), 'cpu only, got cuda'),
    ],
)
def test_what_does_not_go_together(
    path: Path, options: dict, message: str
) -> None:
    with pytest.raises((OnnxError, ValueError), match=message):
        OnnxDetector(path, **options)


def test_dtype_is_not_for_torch() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('inputs')
    add_options(parser)
    args = parser.parse_args(['x.jpg', '--dtype', 'bfloat16'])
    with pytest.raises(ValueError, match='needs --runtime openvino'):
        make_inferencer(args)
