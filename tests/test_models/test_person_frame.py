# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Parameters that are read relative to the body box."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from gt_fields import image_sample
from torch import Tensor

from aios.models import AiOS
from aios.models.heads.person_frame import BODY_EXTENT, PersonFrame
from aios.models.losses import project_to_image
from aios.structures import WHOLE_BODY

SIZES = torch.tensor([[320.0, 240.0]])


def project(box: list[float], raw: list[float], point: list[float]) -> Tensor:
    """Where a point of a body is seen, pixels of a 320 x 240 image."""
    frame = PersonFrame.from_boxes(torch.tensor([[box]]), SIZES)
    camera = frame.camera(torch.tensor([[raw]]))
    points = project_to_image(torch.tensor([[point]]), camera[0], SIZES)
    return points[0, 0] * SIZES[0]


def test_zero_puts_the_origin_into_the_center_of_the_box():
    seen = project([0.25, 0.5, 0.1, 0.4], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    torch.testing.assert_close(seen, torch.tensor([80.0, 120.0]))


def test_scale_is_relative_to_the_longer_side():
    # 0.4 of 240 pixels high: 96 pixels span BODY_EXTENT meters, nearly,
    # for the virtual camera is far away
    box = [0.25, 0.5, 0.1, 0.4]
    seen = project(box, [0.0, 0.0, 0.0], [0.0, BODY_EXTENT / 2, 0.0])
    torch.testing.assert_close(seen, torch.tensor([80.0, 168.0]))


def test_offset_is_relative_to_the_longer_side():
    seen = project([0.25, 0.5, 0.1, 0.4], [0.0, 0.5, -0.25], [0.0] * 3)
    torch.testing.assert_close(seen, torch.tensor([128.0, 96.0]))


def test_same_output_anywhere_is_the_same_person_elsewhere():
    point, raw = [0.3, -0.2, 0.1], [0.2, 0.1, -0.1]
    near = project([0.5, 0.5, 0.2, 0.8], raw, point)
    far = project([0.75, 0.25, 0.05, 0.2], raw, point)
    center = torch.tensor([160.0, 120.0])
    other = torch.tensor([240.0, 60.0])
    # a quarter of the size, about the center of the box
    torch.testing.assert_close(
        (near - center) / 4, far - other, atol=0.2, rtol=0
    )


def test_places_do_not_depend_on_where_the_person_is():
    def places(shift: float, scale: float) -> Tensor:
        boxes = {
            part.name: torch.tensor([[[0.1, 0.2, 0.2, 0.4]]]) * scale
            + torch.tensor([shift, shift, 0.0, 0.0])
            for part in WHOLE_BODY.parts
            if part.is_box
        }
        points = {
            part.name: torch.full((1, 1, len(part), 2), 0.15) * scale + shift
            for part in WHOLE_BODY.parts
            if not part.is_box
        }
        frame = PersonFrame.from_boxes(boxes['body_box'], SIZES)
        return frame.place(WHOLE_BODY, boxes, points)

    here, there = places(0.0, 1.0), places(0.5, 0.5)
    assert here.shape == (1, 1, len(WHOLE_BODY), 2)
    torch.testing.assert_close(here, there)
    assert here.abs().max() > 0


@pytest.fixture
def model(make_tiny_model: Callable[..., AiOS]) -> AiOS:
    return make_tiny_model(
        bbox_head=dict(box_relative=True, smplx_hidden_dims=48)
    ).eval()


def test_bodies_are_seen_in_their_boxes(model: AiOS):
    # Fresh camera branches say zero: the pelvis is in the center of the box.
    for branch in model.bbox_head.smplx:
        torch.nn.init.zeros_(branch.camera.layers[-1].weight)
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        (found,) = model.predict(image, [image_sample((96, 128))])
    persons = found.pred_instances
    boxes = persons.bboxes
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    origin = persons.smplx_transl
    K = torch.as_tensor(found.pred_instances.cam_K, dtype=torch.float32)
    seen = origin @ K.T
    seen = seen[:, :2] / seen[:, 2:]
    torch.testing.assert_close(seen, centers, atol=0.05, rtol=0)


def test_without_sizes_it_says_what_is_missing(model: AiOS):
    with pytest.raises(ValueError, match='sizes of the images'):
        model(torch.rand(1, 3, 96, 128), None, mode='tensor')
