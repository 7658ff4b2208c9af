# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network as a function of tensors, as a file, and in the demos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
import torch
from api_images import draw_image, photo
from mmdet.structures import DetDataSample
from mmengine.config import Config
from onnx_sessions import DescribedSession
from script_loader import load_script
from torch import nn

from aios.__main__ import main as export_command
from aios.apis import AiOSInferencer, OnnxInferencer
from aios.apis.model_files import build_model, read_model_config
from aios.apis.onnx_export import describe_model, export_model
from aios.apis.shipped import onnx_path, shipped_onnx
from aios.deploy import (
    DeployableNetwork,
    ExportError,
    compare_outputs,
    export_onnx,
    pack_outputs,
)
from aios.deploy.export import example_inputs
from aios.results import SequenceResult
from aios.runtime import read_description
from aios.utils.resizing import fit_size

FRAME = (48, 64)  # height and width
QUIET = dict(score_thr=0, max_persons=3, show_progress=False)
PIXELS = (
    *('bboxes', 'lhand_bboxes', 'rhand_bboxes', 'face_bboxes'),
    *('joints2d', 'keypoints'),
)


class Session(DescribedSession):
    """Stands in for ONNX Runtime, by running the network in PyTorch."""

    def __init__(self, network: DeployableNetwork, description: Mapping):
        super().__init__(description)
        self.network = network
        self.names = network.output_names
        self.shapes: list[tuple[int, ...]] = []

    def run(self, _: None, inputs: Mapping[str, np.ndarray]) -> list:
        self.shapes.append(inputs['images'].shape)
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
def deploy(
    inferencer: AiOSInferencer,
    checkpoint: Path,
    network: DeployableNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[Path, Session]]:
    """Makes a file of a network of some size, opened by :class:`Session`."""

    def make(
        size: tuple[int, int] | None, config: Config = inferencer.cfg
    ) -> tuple[Path, Session]:
        description = describe_model(config, checkpoint, size)
        session = Session(network, description)
        monkeypatch.setattr(
            'aios.runtime.detector.make_session', lambda *_: session
        )
        path = tmp_path / 'tiny.onnx'
        path.touch()
        return path, session

    return make


def _main(path: str) -> Callable:
    module = load_script(path)
    return lambda *args: module.main([str(x) for x in args])


def _batch(model: nn.Module, *images: torch.Tensor) -> dict:
    """What the detector makes of images, batched with one of the frame."""
    last = torch.from_numpy(draw_image(1, FRAME[::-1])).permute(2, 0, 1)
    samples = [
        DetDataSample(
            metainfo=dict(img_shape=tuple(image.shape[1:]), ori_shape=(99, 99))
        )
        for image in (*images, last)
    ]
    data = dict(inputs=[*images, last], data_samples=samples)
    return model.data_preprocessor(data)


def _compare(found: Mapping, expected: Mapping) -> None:
    """Persons to 1 mm and 0.01 pixels."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        tolerance = 1e-2 if name in PIXELS else 1e-3
        np.testing.assert_allclose(
            found[name], value, rtol=1e-5, atol=tolerance, err_msg=name
        )


def test_function_of_tensors_is_the_detector(model, network):
    """Two images of different sizes, with padding of garbage."""
    small = torch.from_numpy(draw_image(0, (40, 48))).permute(2, 0, 1)
    batch = _batch(model, small)
    images = torch.full((2, 3, *FRAME), 99.0)
    images[0, :, :48, :40] = small
    images[1] = torch.from_numpy(draw_image(1, FRAME[::-1])).permute(2, 0, 1)
    with torch.no_grad():
        outputs = network(images, torch.tensor([[48, 40], [48, 64]]))
        expected = model(**batch, mode='tensor').layers[-1]
    found = dict(zip(network.output_names, outputs, strict=True))
    torch.testing.assert_close(
        found, pack_outputs(expected), rtol=1e-3, atol=1e-4
    )


def test_network_is_a_copy(model, network):
    assert model.bbox_head.body_model is not None
    again = DeployableNetwork(model)
    assert 'smplx_layer' not in dict(again.model.bbox_head.named_children())
    assert 'smplx_layer' in dict(model.bbox_head.named_children())
    assert not any(p.requires_grad for p in network.parameters())
    assert any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('size', [(96, 72), (60, 90), (101, 67), (64, 48)])
def test_same_persons_in_any_image(deploy, inferencer, size):
    path, _ = deploy(None)
    deployed = OnnxInferencer(path, **QUIET)
    (found,) = deployed.stream(draw_image(5, size), with_vertices=True)
    (expected,) = inferencer.stream(draw_image(5, size), with_vertices=True)
    assert len(found) == len(expected) == 3
    assert found.size == expected.size
    np.testing.assert_allclose(found.K, expected.K)
    _compare(found.instances, expected.instances)


def test_same_persons_at_two_sizes(deploy, inferencer, images):
    levels = [dict(min_size=15), dict(scale=0.5, min_size=5)]
    expecting = AiOSInferencer(
        weights=inferencer.weights,
        device='cpu',
        cfg_options={'model.test_cfg.pyramid': levels},
        **QUIET,
    )
    path, session = deploy(None, expecting.cfg)
    deployed = OnnxInferencer(path, batch_size=2, **QUIET)
    expected = list(expecting.stream(images, with_vertices=True))
    found = list(deployed.stream(images, with_vertices=True))
    assert session.shapes[0][2] == 2 * session.shapes[1][2]
    for one, other in zip(found, expected, strict=True):
        _compare(one.instances, other.instances)
    (alone,) = inferencer.stream(draw_image(0))
    assert alone.instances['scores'].tolist() != (
        expected[0].instances['scores'].tolist()
    )


def test_same_persons_in_tiles(deploy, inferencer, images: Path):
    options = dict(tiles=2, **QUIET)
    expecting = AiOSInferencer(
        weights=inferencer.weights, device='cpu', **options
    )
    path, session = deploy(None)
    deployed = OnnxInferencer(path, batch_size=2, **options)
    expected = list(expecting.stream(images, with_vertices=True))
    found = list(deployed.stream(images, with_vertices=True))
    assert len(session.shapes) == 2 * (4 + 1)  # tiles, and the whole image
    for one, other in zip(found, expected, strict=True):
        _compare(one.instances, other.instances)
    plain = AiOSInferencer(weights=inferencer.weights, device='cpu', **QUIET)
    assert plain.fingerprint() != expecting.fingerprint()
    assert OnnxInferencer(path).fingerprint() != deployed.fingerprint()


def test_tiles_need_images_of_other_sizes(deploy, inferencer):
    path, _ = deploy(FRAME)
    with pytest.raises(ValueError, match='takes images of one size'):
        OnnxInferencer(path, tiles=2)
    config = deepcopy(inferencer.cfg)
    config.test_dataloader.dataset.pipeline = [
        dict(type='LoadImage'),
        dict(type='PackWholeBodyInputs'),
    ]
    with pytest.raises(ValueError, match='tiles need WholeBodyResize'):
        AiOSInferencer(config, inferencer.weights, 'cpu', tiles=2)


def test_batches(deploy, inferencer, images: Path):
    path, session = deploy(None)
    deployed = OnnxInferencer(path, batch_size=2, fov=60, **QUIET)
    camera = AiOSInferencer(
        weights=inferencer.weights, device='cpu', fov=60, **QUIET
    )
    expected = list(camera.stream(images))
    found = list(deployed.stream(images))
    assert [shape[0] for shape in session.shapes] == [2, 1]
    for one, other in zip(found, expected, strict=True):
        assert one.name == other.name
        np.testing.assert_allclose(one.K, other.K)
        np.testing.assert_allclose(
            one.instances['bboxes'], other.instances['bboxes'], atol=1e-2
        )


def test_network_of_one_size(deploy, inferencer: AiOSInferencer):
    """Images of its aspect ratio give the same, others are padded."""
    path, session = deploy(FRAME)
    deployed = OnnxInferencer(path, **QUIET)
    (found,) = deployed.stream(draw_image(5), with_vertices=True)
    (expected,) = inferencer.stream(draw_image(5), with_vertices=True)
    _compare(found.instances, expected.instances)
    (portrait,) = deployed.stream(draw_image(5, (60, 90)))
    assert portrait.size == (60, 90)
    assert session.shapes == [(1, 3, *FRAME)] * 2


@pytest.mark.parametrize(
    ('size', 'result'),
    [((200, 100), (64, 32)), ((100, 200), (24, 48)), ((50, 50), (48, 48)),
     ((640, 480), (64, 48)), ((480, 640), (36, 48)), ((128, 63), (64, 32))],
)  # fmt: skip
def test_images_are_fitted(size, result):
    assert fit_size(size, FRAME[::-1]) == result


def test_files_that_are_something_else(tmp_path, deploy):
    _, session = deploy(None)
    good = json.loads(session.properties['aios'])
    for bad in (
        {},
        {'size': None},
        good | dict(size=[0, 64]),
        good | dict(size=[64]),
        good | dict(test_cfg=None),
        good | dict(test_cfg=dict(score=1)),
        good | dict(resize=dict(scale=[64])),
        good | dict(resize=dict(enlarged_scale=[0, 64])),
        good | dict(body_model=dict(type='subprocess.getoutput')),
    ):
        session.properties = {'aios': json.dumps(bad)}
        with pytest.raises(
            ValueError, match='other.onnx: contains no description'
        ):
            read_description(session, 'other.onnx')
    session.properties = {}
    with pytest.raises(ValueError, match='export_model.py'):
        read_description(session, 'other.onnx')
    with pytest.raises(FileNotFoundError, match=r'nobody\.onnx'):
        OnnxInferencer(tmp_path / 'nobody.onnx')


def test_images_that_are_something_else(deploy):
    path, _ = deploy(None)
    detector = OnnxInferencer(path, **QUIET).detector
    for image in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint16)):
        with pytest.raises(ValueError, match=r'must be \(H, W, 3\) uint8'):
            detector(image)
    assert len(detector(draw_image(5))) > 0


def test_demo(deploy, inferencer, images, tmp_path, capsys):
    path, _ = deploy(None)
    out = tmp_path / 'out'
    main = _main('demo/image_demo.py')
    options = (images / 'a.png', path, '--runtime', 'onnx', '--out-dir', out)
    count = main(*options, '--score-thr', 0, '--max-persons', 2)
    assert count == 2
    (frame,) = OnnxInferencer(path, **QUIET).stream(
        photo(tmp_path / 'photo.jpg', xA405=50)
    )
    assert (frame.camera_origin, round(frame.K[0, 0])) == ('exif', 100)
    assert (out / 'vis/a.jpg').is_file()
    persons = SequenceResult.load(out / 'params.npz')
    (expected,) = inferencer.stream(images / 'a.png')
    np.testing.assert_allclose(
        persons.joints3d, expected.instances['joints3d'][:2], atol=1e-3
    )
    assert persons.body_model == inferencer.body_model_name
    for more, message in (
        ((), 'not empty'),
        (('--overwrite', '--cfg-options', 'a=1'), 'takes one .onnx file'),
    ):
        with pytest.raises(SystemExit):
            main(*options, *more)
        assert message in capsys.readouterr().err


def test_shipped_model_that_was_not_exported(tmp_path, monkeypatch):
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path))
    monkeypatch.setattr(
        'aios.apis.shipped.find_spec',
        lambda name: None if name == 'onnxscript' else name,
    )
    with pytest.raises(FileNotFoundError, match='needs onnxscript'):
        OnnxInferencer()
    with pytest.raises(SystemExit, match=r'needs onnxscript\. Install the'):
        export_command(['export', str(tmp_path / 'a.onnx')])
    assert list(tmp_path.iterdir()) == []


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
@pytest.mark.parametrize('size', [None, FRAME])
def test_onnx_runtime_finds_the_same_persons(
    inferencer, tiny_config, checkpoint, tmp_path, images, size
):
    pytest.importorskip('onnxruntime')
    config, path = tmp_path / 'tiny.py', tmp_path / 'tiny.onnx'
    tiny_config.dump(config)
    differences = export_model(path, config, checkpoint, size)
    assert max(differences.values()) < 1e-3
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        export_model(path, config, checkpoint, size)
    assert path.read_bytes() == content
    deployed = OnnxInferencer(path, num_threads=1, batch_size=2, **QUIET)
    for one, other in zip(
        deployed.stream(images / '[ab]*', with_vertices=True),
        inferencer.stream(images / '[ab]*', with_vertices=True),
        strict=True,
    ):
        assert len(one) == 3
        _compare(one.instances, other.instances)


@pytest.mark.slow
def test_shipped_model(tmp_path, monkeypatch):
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path))
    pytest.importorskip('onnxruntime')
    photograph = Path(skimage.__file__).with_name('data') / 'astronaut.png'
    image = cv2.imread(str(photograph))
    images = [image, image[:401, :333], cv2.resize(image, (640, 360))]
    original = AiOSInferencer(**QUIET)
    deployed = OnnxInferencer(**QUIET)
    assert OnnxInferencer(**QUIET).detector.description['size'] is None
    (path,) = (tmp_path / 'onnx').iterdir()
    assert path == onnx_path()
    for one, other in zip(
        deployed.stream(images, with_vertices=True),
        original.stream(images, with_vertices=True),
        strict=True,
    ):
        assert len(one) == 3
        _compare(one.instances, other.instances)


def test_processes_that_export_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """The one that ends last uses the file of the other."""
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path))

    def export(path: Path) -> None:
        path.write_bytes(b'of the other process')
        raise FileExistsError(path)

    monkeypatch.setattr('aios.apis.onnx_export.export_model', export)
    assert shipped_onnx().read_bytes() == b'of the other process'
    assert f'exporting the included model to {tmp_path}' in caplog.text


def test_batches_of_any_size_can_be_exported(network):
    """Which changes of the network break easily; whole exports are slow."""
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(
        network, example_inputs(FRAME, 2), dynamic_shapes=(batch, batch)
    ).module()
    inputs = example_inputs(FRAME, 3, seed=1)
    with torch.no_grad():
        compare_outputs(
            network(*inputs), program(*inputs), network.output_names, 1e-3
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


def test_benchmark_measures_each_copy_of_a_person(
    deploy: Callable,
    inferencer: AiOSInferencer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Although the options of the file would suppress the copies."""
    drawn = []
    monkeypatch.setattr(
        'aios.visualization.OverlayDrawer',
        lambda faces: lambda frame, image: drawn.append(len(frame)),
    )
    config = deepcopy(inferencer.cfg)
    config.model.test_cfg.update(nms_oks_thr=0.4, nms_head_thr=0.25)
    path, _ = deploy(FRAME, config)
    tool = load_script('tools/analysis_tools/benchmark_runtime.py')
    image = draw_image(0, FRAME[::-1])
    tool.person_costs(OnnxInferencer(path).detector, image, [1, 4], 1)
    assert set(drawn) == {1, 4}
