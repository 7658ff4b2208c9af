# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``python -m aios export --int8``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx_sessions import RandomSession

from aios.__main__ import main
from aios.deploy import ExportError, quantize_convolutions

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def network() -> bytes:
    """Two padded convolutions of a backbone with a sum, and one of a head."""
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    arrays = dict(
        {
            f'net.{name}.weight': rng.normal(size=shape) / 3
            for name, shape in (
                ('backbone.down', (8, 3, 3, 3)),
                ('backbone.same', (8, 8, 1, 1)),
                ('head', (2, 8, 1, 1)),
            )
        },
        low=np.zeros(()),
        high=np.full((), 6.0),
    )
    constants = [
        numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in arrays.items()
    ]
    pads = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    constants.append(numpy_helper.from_array(pads, 'behind'))
    steps = (
        ('Pad', ('x', 'behind'), {}),
        (
            'Conv',
            ('Pad', 'net.backbone.down.weight'),
            dict(strides=[2, 2], pads=[0, 0, 0, 0]),
        ),
        ('Clip', ('Conv', 'low', 'high'), {}),
        ('Conv', ('Clip', 'net.backbone.same.weight'), {}),
        ('Add', ('Clip', 'Conv_3'), {}),
        ('Conv', ('Add', 'net.head.weight'), {}),
    )
    nodes, names = [], set()
    for number, (kind, inputs, options) in enumerate(steps):
        name = f'{kind}_{number}' if kind in names else kind
        names.add(name)
        nodes.append(
            helper.make_node(kind, inputs, [name], name=name, **options)
        )
    kind = onnx.TensorProto.FLOAT
    image = helper.make_tensor_value_info('x', kind, ['B', 3, 'H', 'W'])
    result = helper.make_tensor_value_info(name, kind, ['B', 2, 'h', 'w'])
    graph = helper.make_graph(nodes, 'g', [image], [result], constants)
    opset = [helper.make_opsetid('', 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    helper.set_model_props(model, dict(aios='{}'))
    return model.SerializeToString()


def _image(seed: int, *size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return dict(x=rng.uniform(-1, 1, (1, 3, *size)).astype(np.float32))


def test_convolutions_of_the_backbone_compute_with_integers(network):
    images = [_image(seed, 12, 16) for seed in range(4)]
    content = quantize_convolutions(network, r'\.backbone\.', images)
    model = onnx.load_from_string(content)
    assert {p.key: p.value for p in model.metadata_props} == dict(aios='{}')
    # Convolutions pad, or they would compute with floating point.
    assert 'Pad' not in {node.op_type for node in model.graph.node}
    weights = {x.name: x.data_type for x in model.graph.initializer}
    assert weights['net.head.weight'] == onnx.TensorProto.FLOAT
    whole = {n for n, kind in weights.items() if kind == onnx.TensorProto.INT8}
    for name in ('down', 'same'):
        assert f'net.backbone.{name}.weight' not in weights
        assert f'net.backbone.{name}.weight_quantized' in whole

    _compare(network, content)


def _compare(network: bytes, content: bytes) -> None:
    """Results of two files on images of two sizes."""
    one, two = (
        ort.InferenceSession(x, providers=['CPUExecutionProvider'])
        for x in (network, content)
    )
    for size in ((12, 16), (18, 10)):
        image = _image(9, *size)
        (exact,), (found,) = one.run(None, image), two.run(None, image)
        assert found.shape == exact.shape
        error = np.abs(found - exact).max()
        assert 0 < error < 0.1 * exact.std()


def test_nothing_to_quantize(network):
    with pytest.raises(ExportError, match='no convolution has weights named'):
        quantize_convolutions(network, 'neck', [])


class _Session(RandomSession):
    """Sees what float32 sees, moved sideways by ``shift`` meters.

    It overlooks the first ``lost`` persons.
    """

    shift = 0.0
    lost = 0

    def run(self, *args):
        values = dict(zip(self.names, super().run(*args), strict=True))
        values['logits'] = np.full_like(values['logits'], 2.0)
        values['logits'][:, : self.lost] = -9.0
        values['camera'][..., 1] += self.shift
        return list(values.values())


@pytest.fixture
def export(tmp_path: Path, monkeypatch) -> Callable[..., Path]:
    """Exports; with integers persons are so many meters further right.

    The second number is that of persons who are lost.
    """
    source = tmp_path / 'float32.onnx'
    source.write_bytes(b'float32')
    module = 'aios.apis.onnx_int8'
    image = np.zeros((48, 64, 3), np.uint8)
    monkeypatch.setattr(f'{module}.shipped_onnx', lambda: source)
    monkeypatch.setattr(
        f'{module}._drawn_images', lambda *_: iter([image] * 3)
    )
    monkeypatch.setattr(f'{module}._NUM_CALIBRATION', 1)
    monkeypatch.setattr(f'{module}._NUM_CHECKED', 2)
    monkeypatch.setattr(
        f'{module}.quantize_convolutions',
        lambda content, _, examples: content + b'%d' % len(list(examples)),
    )

    def run(shift: float, lost: int = 0) -> Path:
        def make_session(path: Path, *_: object) -> _Session:
            session = _Session()
            if path != source:
                session.shift, session.lost = shift, lost
            return session

        monkeypatch.setattr('aios.runtime.detector.make_session', make_session)
        path = tmp_path / 'int8.onnx'
        main(['export', '--int8', str(path)])
        return path

    return run


def test_loss_is_told(export, capsys):
    path = export(0.0005)
    assert path.read_bytes() == b'float321'
    text = capsys.readouterr().out
    assert '4 of 4 persons' in text
    assert 'pixels and 0 mm' in text
    assert ' 0.0 pixels' not in text
    with pytest.raises(SystemExit, match='exists'):
        export(0.0005)


@pytest.mark.parametrize(
    ('shift', 'lost', 'found'), [(5.0, 0, '4 of 4'), (0.0, 1, '2 of 4')]
)
def test_nothing_is_written_if_integers_lose_too_much(
    export, tmp_path, shift, lost, found
):
    with pytest.raises(SystemExit, match=f'results too much: {found}'):
        export(shift, lost)
    assert not (tmp_path / 'int8.onnx').exists()
