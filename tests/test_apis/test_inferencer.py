# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AiOSInferencer from Python."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from api_images import SIZE, draw_image
from mmengine.config import Config
from PIL import Image

from aios.apis import AiOSInferencer
from aios.models.checkpoints import CheckpointError
from aios.registry import INFERENCERS
from aios.results import SMPLX_ARGUMENTS
from aios.structures import Camera


def _quiet(**options: object) -> dict:
    return dict(device='cpu', show_progress=False, score_thr=0, **options)


def test_registered(checkpoint: Path):
    built = INFERENCERS.build(
        dict(type='AiOSInferencer', weights=str(checkpoint), **_quiet())
    )
    assert isinstance(built, AiOSInferencer)


@pytest.mark.parametrize('kind', ['path', 'folder', 'glob', 'url', 'list'])
def test_inputs(inferencer: AiOSInferencer, images: Path, kind: str):
    inputs = {
        'path': str(images / 'a.png'),
        'folder': images,
        'glob': str(images / '*.png'),
        'url': (images / 'a.png').as_uri(),
        'list': [images / 'c.png', images / 'a.png'],
    }[kind]
    names = {'path': 'a', 'folder': 'abc', 'glob': 'ac', 'url': 'a'}
    results = inferencer(inputs, batch_size=2)['predictions']
    assert [r['name'] for r in results] == [*names.get(kind, 'ca')]
    array = inferencer(cv2.imread(str(images / 'a.png')))['predictions'][0]
    (same,) = (r for r in results if r['name'] == 'a')
    assert 0 < len(same['instances']) == len(array['instances']) <= 3
    for one, other in zip(same['instances'], array['instances'], strict=True):
        assert one['scores'] == pytest.approx(other['scores'], abs=1e-4)
        assert one['bboxes'] == pytest.approx(other['bboxes'], abs=0.01)


def test_call_returns_what_json_can_hold(inferencer: AiOSInferencer):
    results = inferencer([draw_image(0), draw_image(1)], return_vis=True)
    json.dumps(results['predictions'])
    assert [x.shape for x in results['visualization']] == [(72, 96, 3)] * 2
    samples = inferencer(draw_image(0), return_datasamples=True)
    (sample,) = samples['predictions']
    assert sample.ori_shape == (72, 96)
    with pytest.raises(ValueError, match='unknown argument'):
        inferencer(draw_image(0), nonsense=1)


def test_visualizations_are_written_once(
    inferencer: AiOSInferencer, images: Path, tmp_path: Path
):
    inferencer(images / 'a.png', vis_out_dir=tmp_path)
    assert (tmp_path / 'a.jpg').stat().st_size
    with pytest.raises(FileExistsError):
        inferencer(images / 'a.png', vis_out_dir=tmp_path)


def test_visualizations_of_videos_are_apart(
    inferencer: AiOSInferencer, make_video, tmp_path: Path
):
    for name in ('a', 'b'):
        make_video(tmp_path / f'{name}.avi', 1)
    inferencer(tmp_path, vis_out_dir=tmp_path / 'vis')
    written = (tmp_path / 'vis').rglob('*.jpg')
    names = sorted(path.relative_to(tmp_path).as_posix() for path in written)
    assert names == ['vis/a/000000.jpg', 'vis/b/000000.jpg']


@pytest.mark.parametrize('batch_size', [2, 5])
def test_results_do_not_depend_on_the_batch(
    inferencer: AiOSInferencer, batch_size: int
):
    images = [draw_image(i) for i in range(3)] + [draw_image(3, (60, 80))]
    alone = list(inferencer.stream(images, batch_size=1))
    together = list(inferencer.stream(images, batch_size=batch_size))
    assert len(alone) == len(together) == 4
    for one, other in zip(alone, together, strict=True):
        for name, value in one.instances.items():
            np.testing.assert_allclose(
                value,
                other.instances[name],
                rtol=1e-4,
                atol=2e-3,
                err_msg=name,
            )


def test_stream_reads_no_further_than_needed(
    inferencer: AiOSInferencer, tmp_path: Path, make_video
):
    path = make_video(tmp_path / 'v.avi', 200)
    stream = inferencer.stream(path)
    frames = [next(stream) for _ in range(3)]
    stream.close()
    assert [f.name for f in frames] == ['000000', '000001', '000002']
    assert frames[2].timestamp == pytest.approx(0.2)


def test_animated_gif(inferencer: AiOSInferencer, tmp_path: Path):
    images = [Image.fromarray(draw_image(seed)) for seed in range(3)]
    path = tmp_path / 'a.gif'
    images[0].save(path, append_images=images[1:], save_all=True, duration=80)
    seconds = [frame.timestamp for frame in inferencer.stream(tmp_path)]
    assert seconds == pytest.approx([0, 0.08, 0.16])


def test_camera_projects_joints_in_original_pixels(
    inferencer: AiOSInferencer,
):
    (frame,) = inferencer.stream(draw_image(0))
    assert frame.size == SIZE
    width, height = SIZE
    # 5000 at the network's 64 x 48
    assert frame.K[0, 0] == pytest.approx(5000 * width / 64)
    projected = Camera(frame.K, height, width).project(
        frame.instances['joints3d']
    )
    np.testing.assert_allclose(
        projected, frame.instances['joints2d'], atol=0.01
    )


def test_selection(checkpoint: Path):
    inferencer = AiOSInferencer(weights=checkpoint, **_quiet())
    image = draw_image(0)

    def scores(**options: object) -> list[float]:
        (frame,) = inferencer.stream(image, **options)
        return frame.instances['scores'].tolist()

    every = scores()
    assert len(every) == 8
    assert every == sorted(every, reverse=True)
    assert scores(max_persons=2) == every[:2]
    assert scores(max_persons=8) == every
    assert scores(score_thr=every[3]) == every[:4]
    assert len(scores(nms_iou=0.0)) < 8
    assert scores() == every  # wishes of a call are not kept
    with pytest.raises(ValueError, match='max_persons'):
        scores(max_persons=0)


def test_calls_may_overlap(
    inferencer: AiOSInferencer, monkeypatch: pytest.MonkeyPatch
):
    """A batch keeps its options when another one begins in the middle."""
    batch, other = (
        next(inferencer.preprocess([draw_image(seed)])) for seed in (1, 2)
    )
    model, inner = inferencer.model, []
    extract = model.extract_feat

    def extract_after_another(images):
        monkeypatch.setattr(model, 'extract_feat', extract)
        inner.extend(
            inferencer.forward(other, with_vertices=True, score_thr=1.0)
        )
        return extract(images)

    monkeypatch.setattr(model, 'extract_feat', extract_after_another)
    (outer,) = inferencer.forward(batch)
    assert len(inner[0].pred_instances) == 0  # no score is 1
    assert len(outer.pred_instances) > 0
    assert 'vertices' not in outer.pred_instances


def test_vertices_only_if_wanted(inferencer: AiOSInferencer):
    (frame,) = inferencer.stream(draw_image(0), with_vertices=True)
    assert frame.instances['vertices'].shape == (3, 10475, 3)
    (frame,) = inferencer.stream(draw_image(0))
    assert 'vertices' not in frame.instances


class TestModel:
    def test_list(self):
        names = AiOSInferencer.list_models()
        assert 'aios_r50' in names
        assert AiOSInferencer.list_models(patterns='aios_r50$') == ['aios_r50']

    def test_unknown_name(self, checkpoint: Path):
        with pytest.raises(FileNotFoundError, match='aios_r50'):
            AiOSInferencer('aios_r5', checkpoint, **_quiet())

    def test_config_object(self, tiny_config: Config, checkpoint: Path):
        before = tiny_config.pretty_text
        AiOSInferencer(tiny_config, checkpoint, **_quiet())
        assert tiny_config.pretty_text == before

    def test_no_weights(self, tiny_config: Config):
        with pytest.raises(ValueError, match='no weights'):
            AiOSInferencer(tiny_config, None, **_quiet())

    def test_missing_file(self, tiny_config: Config):
        with pytest.raises(FileNotFoundError, match='absent.pth'):
            AiOSInferencer(tiny_config, 'absent.pth', **_quiet())

    def test_checkpoint_without_config(self, checkpoint: Path, tmp_path: Path):
        content = torch.load(checkpoint, weights_only=True)
        torch.save(content['state_dict'], tmp_path / 'w.pth')
        with pytest.raises(CheckpointError, match='no config'):
            AiOSInferencer(weights=tmp_path / 'w.pth', **_quiet())

    def test_other_shapes(self, tiny_config: Config, checkpoint: Path):
        config = Config(tiny_config.to_dict())
        config.model.num_queries = 40
        config.model.decoder.layer_cfg.ffn_cfg.feedforward_channels = 32
        with pytest.raises(CheckpointError, match=r'shape .*config'):
            AiOSInferencer(config, checkpoint, **_quiet())

    def test_config_in_checkpoint_is_not_run(
        self, checkpoint: Path, tmp_path: Path
    ):
        content = torch.load(checkpoint, weights_only=True)
        victim = tmp_path / 'victim'
        content['meta']['cfg'] += f'\nx = open({str(victim)!r}, "w")\n'
        torch.save(content, tmp_path / 'w.pth')
        with pytest.raises(CheckpointError, match='a call of open'):
            AiOSInferencer(weights=tmp_path / 'w.pth', **_quiet())
        assert not victim.exists()

    def test_config_without_test_data(
        self, tiny_config: Config, checkpoint: Path
    ):
        config = Config(dict(model=tiny_config.to_dict()['model']))
        inferencer = AiOSInferencer(config, checkpoint, **_quiet())
        (frame,) = inferencer.stream(draw_image(0))
        # 96 x 72 enlarged to 1066 x 800
        assert frame.K[0, 0] == pytest.approx(5000 * 96 / 1066)


@pytest.mark.parametrize('name', ['focal_length', 'fov', 'intrinsics'])
def test_user_camera(inferencer: AiOSInferencer, checkpoint: Path, name: str):
    K = np.array([[80.0, 0, 48], [0, 80.0, 36], [0, 0, 1]])
    value = {
        'focal_length': 80.0,
        'fov': float(np.degrees(2 * np.arctan(48 / 80))),
        'intrinsics': K,
    }[name]
    real = AiOSInferencer(
        weights=checkpoint, max_persons=3, **_quiet(**{name: value})
    )
    (virtual,) = inferencer.stream(draw_image(0))
    (frame,) = real.stream(draw_image(0))
    np.testing.assert_allclose(frame.K, K, atol=1e-9)
    zoom = 80 / 7500
    depth = frame.instances['joints3d'][:, 0, 2]
    np.testing.assert_allclose(
        depth, zoom * virtual.instances['joints3d'][:, 0, 2], rtol=1e-3
    )
    # The pelvis stays where it was in the image.
    np.testing.assert_allclose(
        frame.instances['joints2d'][:, 0],
        virtual.instances['joints2d'][:, 0],
        atol=0.02,
    )
    np.testing.assert_allclose(
        Camera(K, 72, 96).project(frame.instances['joints3d']),
        frame.instances['joints2d'],
        atol=0.01,
    )
    for argument in set(SMPLX_ARGUMENTS) - {'transl'}:
        np.testing.assert_array_equal(
            frame.instances[argument], virtual.instances[argument]
        )
