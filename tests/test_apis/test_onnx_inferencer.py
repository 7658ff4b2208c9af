# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network as a function of tensors, as a file, and in the demos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from api_pictures import picture
from mmdet.structures import DetDataSample
from script_loader import load_script
from torch import nn

from aios.apis import AiOSInferencer
from aios.apis.model_files import build_model, read_model_config
from aios.apis.onnx_inferencer import OnnxInferencer, describe_model
from aios.apis.preparation import prepare
from aios.apis.sources import Frame
from aios.deploy import (
    DeployableNetwork,
    ExportError,
    compare_outputs,
    export_onnx,
    read_description,
    unpack_outputs,
)
from aios.deploy.export import example_inputs
from aios.registry import TRANSFORMS

ROOT = Path(__file__).parents[2]
FRAME = (48, 64)  # height and width
QUIET = dict(score_thr=0, max_persons=3, show_progress=False)


class Session:
    """Stands in for ONNX Runtime, by running the network in PyTorch."""

    def __init__(self, network: DeployableNetwork, description: Mapping):
        self.network = network
        self.properties = {'aios': json.dumps(description)}

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map=self.properties)

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=x) for x in self.network.output_names]

    def run(self, _: None, inputs: Mapping[str, np.ndarray]) -> list:
        with torch.no_grad():
            outputs = self.network(
                *(torch.from_numpy(inputs[x]) for x in ('images', 'sizes'))
            )
        return [x.numpy() for x in outputs]


@pytest.fixture(scope='module')
def model(checkpoint: Path) -> nn.Module:
    """Not rearranged for speed, as the inferencer's is."""
    return build_model(read_model_config(None, checkpoint), checkpoint)


@pytest.fixture(scope='module')
def network(model: nn.Module) -> DeployableNetwork:
    return DeployableNetwork(model)


@pytest.fixture
def deployed(
    inferencer: AiOSInferencer,
    network: DeployableNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> OnnxInferencer:
    """The inferencer on a file that is opened by :class:`Session`."""
    session = Session(network, describe_model(inferencer.cfg, FRAME))
    monkeypatch.setattr(
        'aios.apis.onnx_inferencer.make_session', lambda *_: session
    )
    path = tmp_path / 'tiny.onnx'
    path.touch()
    return OnnxInferencer(path, **QUIET)


def _main(path: str) -> Callable:
    module = load_script(path)
    return lambda *args: module.main([str(x) for x in args])


def _batch(model: nn.Module, *images: torch.Tensor) -> dict:
    """What the detector makes of pictures, batched with one of the frame."""
    last = torch.from_numpy(picture(1, FRAME[::-1])).permute(2, 0, 1)
    samples = [
        DetDataSample(
            metainfo=dict(img_shape=tuple(image.shape[1:]), ori_shape=(99, 99))
        )
        for image in (*images, last)
    ]
    data = dict(inputs=[*images, last], data_samples=samples)
    return model.data_preprocessor(data)


def test_function_of_tensors_is_the_detector(model, network):
    """Two pictures of different sizes, with padding of garbage."""
    small = torch.from_numpy(picture(0, (40, 48))).permute(2, 0, 1)
    batch = _batch(model, small)
    images = torch.full((2, 3, *FRAME), 99.0)
    images[0, :, :48, :40] = small
    images[1] = torch.from_numpy(picture(1, FRAME[::-1])).permute(2, 0, 1)
    with torch.no_grad():
        outputs = network(images, torch.tensor([[48, 40], [48, 64]]))
        expected = model(**batch, mode='tensor').layers[-1]
    found = unpack_outputs(
        dict(zip(network.output_names, outputs, strict=True)), network.layout
    )
    torch.testing.assert_close(
        found.logits, expected.logits, rtol=1e-4, atol=1e-4
    )
    for kind in ('boxes', 'points'):
        one, other = getattr(found, kind), getattr(expected, kind)
        torch.testing.assert_close(one, dict(other), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        vars(found.smplx), vars(expected.smplx), rtol=1e-3, atol=1e-4
    )


def test_network_is_a_copy(model, network):
    assert model.bbox_head.body_model is not None
    again = DeployableNetwork(model)
    assert 'smplx_layer' not in dict(again.model.bbox_head.named_children())
    assert 'smplx_layer' in dict(model.bbox_head.named_children())
    assert not any(p.requires_grad for p in network.parameters())
    assert any(p.requires_grad for p in model.parameters())


def test_same_people(inferencer: AiOSInferencer, deployed: OnnxInferencer):
    (found,) = deployed.stream(picture(5), with_vertices=True)
    (expected,) = inferencer.stream(picture(5), with_vertices=True)
    assert len(found) == len(expected) == 3
    for name, value in expected.instances.items():
        np.testing.assert_allclose(
            found.instances[name], value, rtol=1e-3, atol=1e-2, err_msg=name
        )


def test_people_of_a_portrait(model: nn.Module, deployed: OnnxInferencer):
    """The frame makes it smaller; boxes are in pixels of the original."""
    size = 60, 90
    (found,) = deployed.stream(picture(5, size))
    frame = Frame(0, 'portrait', picture(5, size), size)
    _, data = prepare(frame, deployed.pipeline)
    assert data['inputs'].shape == (3, 48, 32)
    batch = _batch(model, data['inputs'])
    sample = batch['data_samples'][0]
    sample.set_metainfo(dict(ori_shape=(90, 60)))
    with torch.no_grad():
        model(batch['inputs'][:1], [sample], mode='predict')
    people = sample.pred_instances[:3]
    assert found.size == size
    np.testing.assert_allclose(
        found.instances['scores'], people.scores, atol=1e-4
    )
    np.testing.assert_allclose(
        found.instances['bboxes'], people.bboxes, atol=1e-2
    )


def test_too_large_a_picture_is_refused(deployed: OnnxInferencer):
    with pytest.raises(ValueError, match='80 x 60 pixels.*up to 48 x 64'):
        deployed.model.forward(torch.zeros(3, 80, 60))


@pytest.mark.parametrize(
    ('size', 'result'),
    [((200, 100), (64, 32)), ((100, 200), (24, 48)), ((50, 50), (48, 48)),
     ((640, 480), (64, 48)), ((480, 640), (36, 48))],
)  # fmt: skip
def test_pictures_are_fitted(size, result):
    step = TRANSFORMS.build(dict(type='WholeBodyFit', scale=FRAME[::-1]))
    results = dict(
        img=picture(0, size),
        img_shape=size[::-1],
        scale_factor=(1.0, 1.0),
        homography_matrix=np.eye(3),
    )
    assert step(results)['img'].shape[1::-1] == result


def test_files_that_are_something_else(tmp_path, deployed, network):
    session = Session(network, {})
    with pytest.raises(ValueError, match='other.onnx: does not describe'):
        read_description(session, 'other.onnx')
    session.properties = {}
    with pytest.raises(ValueError, match='export_model.py'):
        read_description(session, 'other.onnx')
    with pytest.raises(FileNotFoundError, match=r'nobody\.onnx'):
        OnnxInferencer(tmp_path / 'nobody.onnx')


def test_demo(deployed, inferencer, pictures, tmp_path, capsys):
    out = tmp_path / 'out'
    main = _main('demo/onnx_demo.py')
    count = main(
        *(tmp_path / 'tiny.onnx', pictures / 'a.png', '--out-dir', out),
        *('--score-thr', 0, '--max-persons', 2, '--threads', 1),
    )
    assert count == 2
    assert (out / 'vis/a.jpg').is_file()
    assert (out / 'params.npz').is_file()
    with pytest.raises(SystemExit, match='error: .*not empty'):
        main(tmp_path / 'tiny.onnx', pictures / 'a.png', '--out-dir', out)


def test_a_difference_is_told():
    one = torch.zeros(3)
    same = compare_outputs([one], [one + 1e-4], ['boxes'], 1e-3)
    assert same == {'boxes': pytest.approx(1e-4)}
    for other in (one + 1, one * float('nan')):
        with pytest.raises(ExportError, match='more than 0.001: boxes by'):
            compare_outputs([one], [other], ['boxes'], 1e-3)
    with pytest.raises(ExportError, match='boxes: shape'):
        compare_outputs([one], [one[:2]], ['boxes'], 1e-3)


def test_nothing_is_written_if_the_results_differ(
    network, tmp_path, monkeypatch
):
    monkeypatch.setattr('aios.deploy.export._to_onnx', lambda *_: b'')
    monkeypatch.setattr('aios.deploy.export.make_session', lambda _: None)
    monkeypatch.setattr(
        'aios.deploy.export.run_onnx',
        lambda _, *inputs: [x + 1 for x in network(*inputs)],
    )
    with pytest.raises(ExportError, match='differs from the original'):
        export_onnx(network, tmp_path / 'new.onnx', FRAME)
    assert list(tmp_path.iterdir()) == []


def test_tool_says_what_it_needs(tmp_path, checkpoint, capsys):
    main = _main('tools/deployment/export_model.py')
    for options, message in (
        (('--help',), 'python tools/deployment/export_model.py'),
        ((checkpoint, checkpoint, tmp_path / 'a.bin'), '.onnx or .pt2'),
        (
            ('a', 'b', tmp_path / 'a.onnx', '--shape', '8', '99'),
            'at least 32',
        ),
    ):
        with pytest.raises(SystemExit):
            main(*options)
        text = capsys.readouterr()
        assert message in text.out + text.err
    with pytest.raises(SystemExit, match='error: nobody: neither a config'):
        main('nobody', checkpoint, tmp_path / 'a.onnx')


@pytest.mark.slow
def test_onnx_runtime_finds_the_same_people(
    inferencer, tiny_config, checkpoint, tmp_path, pictures, capsys
):
    pytest.importorskip('onnxruntime')
    config, path = tmp_path / 'tiny.py', tmp_path / 'tiny.onnx'
    tiny_config.dump(config)
    main = _main('tools/deployment/export_model.py')
    main(config, checkpoint, path, '--shape', *FRAME)
    assert 'largest difference from PyTorch' in capsys.readouterr().out
    content = path.read_bytes()
    with pytest.raises(SystemExit, match='exists'):
        main(config, checkpoint, path, '--shape', *FRAME)
    assert path.read_bytes() == content
    deployed = OnnxInferencer(path, num_threads=1, **QUIET)
    (found,) = deployed.stream(pictures / 'a.png', with_vertices=True)
    (expected,) = inferencer.stream(pictures / 'a.png', with_vertices=True)
    assert len(found) == 3
    for name, value in expected.instances.items():
        np.testing.assert_allclose(
            found.instances[name], value, rtol=1e-3, atol=1e-2, err_msg=name
        )


@pytest.mark.slow
def test_exported_program(network, tmp_path):
    from aios.deploy import export_program

    path = tmp_path / 'tiny.pt2'
    differences = export_program(network, path, FRAME)
    assert max(differences.values()) < 1e-3
    program = torch.export.load(path).module()
    inputs = example_inputs(FRAME, seed=1)
    with torch.no_grad():
        compare_outputs(
            network(*inputs), program(*inputs), network.output_names, 1e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['eager', 'aot_eager', 'inductor'])
def test_compiled_network(network, backend):
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    with torch.no_grad():
        for seed in range(2):
            inputs = example_inputs(FRAME, seed=seed)
            compare_outputs(
                network(*inputs),
                compiled(*inputs),
                network.output_names,
                1e-3,
            )


def test_types_in_a_file_are_registered_ones(
    tmp_path: Path,
    inferencer: AiOSInferencer,
    network: DeployableNetwork,
    monkeypatch: pytest.MonkeyPatch,
):
    """The file is no config: nothing is imported because it says so."""
    description = describe_model(inferencer.cfg, FRAME)
    canary = tmp_path / 'canary'
    description['config']['model']['bbox_head']['body_model'] = dict(
        type='subprocess.getoutput', cmd=f'touch {canary}'
    )
    session = Session(network, description)
    monkeypatch.setattr(
        'aios.apis.onnx_inferencer.make_session', lambda *_: session
    )
    (tmp_path / 'evil.onnx').touch()
    with pytest.raises(ValueError, match=r'evil\.onnx.*body_model\.type'):
        OnnxInferencer(tmp_path / 'evil.onnx', **QUIET)
    assert not canary.exists()
