# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is drawn where."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer

from aios.engine.hooks.visualization_hook import (
    WholeBodyVisualizationHook,
    draw_sample,
)
from aios.structures import GT_FIELDS
from aios.visualization.local_visualizer import WholeBodyVisualizer

HEIGHT, WIDTH = 120, 160
SCALE = 2.0
FOCAL = 1000.0
GRAY = 128
TRUE_BOX = torch.tensor([[10.0, 20, 60, 100]])
PREDICTED_BOX = torch.tensor([[90.0, 20, 140, 100]])


@pytest.fixture
def sample() -> DetDataSample:
    """A person at the left, predicted at the right.

    As datasets and models give it: the truth in an image twice as large,
    joints and meshes of predictions without their translation.
    """
    sample = DetDataSample(
        metainfo=dict(
            img_id=3,
            img_path='image.png',
            homography_matrix=np.diag((SCALE, SCALE, 1.0)),
        )
    )
    truth = InstanceData()
    for name, field in GT_FIELDS.items():
        truth[name] = torch.zeros(1, *field.shape, dtype=field.dtype)
    truth.bboxes = TRUE_BOX * SCALE
    sample.gt_instances = truth
    sample.pred_instances = InstanceData(
        scores=torch.tensor([0.9, 0.1]),
        labels=torch.tensor([1, 1]),
        bboxes=PREDICTED_BOX.repeat(2, 1) - torch.tensor([[0.0], [40]]),
        joints2d=PREDICTED_BOX.view(1, 2, 2).mean(1).expand(2, 144, 2),
        metainfo=dict(
            cam_K=np.array(
                [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]
            )
        ),
    )
    return sample


def _touched(drawn: np.ndarray) -> np.ndarray:
    """Box ``(x0, y0, x1, y1)`` around what is not background."""
    rows, columns = np.nonzero((drawn != GRAY).any(-1))
    return np.array(
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    )


def test_truth_left_prediction_right(sample):
    image = np.full((HEIGHT, WIDTH, 3), GRAY, np.uint8)
    visualizer = WholeBodyVisualizer(panels=[['boxes', 'skeletons']])
    drawn = draw_sample(visualizer, image, sample, score_thr=0.3)
    assert drawn.shape == (HEIGHT, 2 * WIDTH, 3)
    left, right = drawn[:, :WIDTH], drawn[:, WIDTH:]
    # Labels stick out at the top; the unlikely person is not there.
    for side, box in ((left, TRUE_BOX), (right, PREDICTED_BOX)):
        x0, _, _, y1 = _touched(side)
        np.testing.assert_allclose((x0, y1), box[0, [0, 3]], atol=2)
    assert (image == GRAY).all()


def test_without_truth(sample):
    del sample.gt_instances
    image = np.full((HEIGHT, WIDTH, 3), GRAY, np.uint8)
    visualizer = WholeBodyVisualizer(panels=[['boxes']])
    drawn = draw_sample(visualizer, image, sample)
    assert drawn.shape == image.shape


def test_mesh_is_seen_by_the_camera_of_the_prediction(sample, layer):
    shift = torch.tensor([[0.6, 0.0, 25.0]])
    persons = sample.pred_instances
    persons.vertices = layer().vertices.expand(2, -1, -1)
    persons.smplx_transl = shift.expand(2, 3)
    image = np.full((HEIGHT, WIDTH, 3), GRAY, np.uint8)
    visualizer = WholeBodyVisualizer(
        body_model=layer, panels=[['mesh']], mesh_alpha=1.0, supersample=1
    )
    drawn = draw_sample(visualizer, image, sample)[:, WIDTH:]
    points = (persons.vertices[0] + shift[0]).numpy()
    pixels = points[:, :2] / points[:, 2:] * FOCAL + (WIDTH / 2, HEIGHT / 2)
    expected = np.concatenate((pixels.min(0), pixels.max(0)))
    np.testing.assert_allclose(_touched(drawn), expected, atol=1.5)


@pytest.mark.parametrize('datasets', [1, 2])
def test_every_image_of_a_test_has_its_file(sample, tmp_path, datasets):
    """Concatenated datasets number from 0 and may have one name."""
    image = np.full((HEIGHT, WIDTH, 3), GRAY, np.uint8)
    members = [SimpleNamespace()] * datasets
    dataset = SimpleNamespace(datasets=members if datasets > 1 else ())
    runner = SimpleNamespace(
        work_dir=tmp_path,
        timestamp='now',
        visualizer=WholeBodyVisualizer(panels=[['boxes']]),
        test_dataloader=SimpleNamespace(dataset=dataset),
    )
    hook = WholeBodyVisualizationHook(test_out_dir='drawn')
    for number in range(datasets):
        path = tmp_path / f'set_{number}/image.png'
        path.parent.mkdir()
        cv2.imwrite(str(path), image)
        other = sample.clone()
        other.set_metainfo(dict(img_path=str(path)))
        hook.after_test_iter(runner, 0, None, [other])
    names = sorted(p.name for p in (tmp_path / 'now/drawn').iterdir())
    assert len(names) == datasets
    assert all(name.startswith('000003_image') for name in names)
    if datasets == 1:
        assert names == ['000003_image.jpg']


def test_another_visualizer_is_found_before_it_is_needed():
    runner = SimpleNamespace(visualizer=Visualizer())
    with pytest.raises(ValueError, match='WholeBodyVisualizer, got Visualiz'):
        WholeBodyVisualizationHook().before_train(runner)
    with pytest.raises(ValueError, match='WholeBodyVisualizer, got Visualiz'):
        WholeBodyVisualizationHook(test_out_dir='images').before_test(runner)
    WholeBodyVisualizationHook().before_test(runner)
    WholeBodyVisualizationHook(num_images=0).before_train(runner)
    with pytest.raises(ValueError, match='must not be negative, got -1'):
        WholeBodyVisualizationHook(num_images=-1)
