# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aios.structures import (
    box_iou,
    boxes_overlap_image,
    clip_boxes,
    cxcywh_to_xyxy,
    generalized_box_iou,
    points_to_box,
    sanitize_xywh,
    scale_boxes,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

numbers = st.floats(-1000, 1000, allow_subnormal=False)
xywh_boxes = hnp.arrays(
    np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=numbers
)
quick = settings(deadline=None, max_examples=50)


@quick
@given(xywh_boxes)
def test_formats_round_trip(xywh: np.ndarray) -> None:
    xyxy = xywh_to_xyxy(xywh)
    np.testing.assert_allclose(xyxy_to_xywh(xyxy), xywh, atol=1e-9)
    np.testing.assert_allclose(
        cxcywh_to_xyxy(xyxy_to_cxcywh(xyxy)), xyxy, atol=1e-9
    )


def test_tensors_stay_tensors() -> None:
    boxes = torch.tensor([[1.0, 2, 3, 5]])
    for function in (xywh_to_xyxy, xyxy_to_xywh, cxcywh_to_xyxy):
        np.testing.assert_allclose(
            function(boxes).numpy(), function(boxes.numpy())
        )
    clipped = clip_boxes(boxes, 4, 2)
    torch.testing.assert_close(clipped, torch.tensor([[1.0, 2, 2, 4]]))


def test_scale_keeps_the_center() -> None:
    np.testing.assert_allclose(
        scale_boxes(np.array([10.0, 20, 30, 60]), 1.5), [5, 10, 35, 70]
    )


@pytest.mark.parametrize(
    ('xywh', 'expected'),
    [
        ((10, 20, 30, 40), (10, 20, 40, 60)),
        # The published quirk: the far edge is measured from the clipped one.
        ((-10, 5, 30, 10), (0, 5, 30, 15)),
        ((90, 5, 30, 10), (90, 5, 100, 15)),
        ((10, 10, 0, 5), None),
        ((10, 10, 5, -1), None),
        ((200, 10, 5, 5), None),
        ((np.nan, 0, 5, 5), None),
        ((0, 0, np.nan, 5), None),
    ],
)
def test_sanitize_clips_boxes_and_marks_impossible_ones(xywh, expected):
    xyxy, valid = sanitize_xywh(np.array([xywh], float), 100, 100)
    assert valid.tolist() == [expected is not None]
    np.testing.assert_allclose(xyxy, [expected or (0,) * 4])
    assert xyxy.dtype == np.float32


@quick
@given(xywh_boxes, st.floats(0.5, 2))
def test_sanitized_boxes_lie_inside(xywh: np.ndarray, ratio: float) -> None:
    xyxy, valid = sanitize_xywh(xywh, 120, 80, ratio)
    good = xyxy[valid]
    assert (good[:, :2] >= 0).all()
    assert (good[:, 2] <= 80 + 1e-4).all()
    assert (good[:, 3] <= 120 + 1e-4).all()
    assert (good[:, 2:] > good[:, :2]).all()


def test_sanitize_takes_a_size_per_row() -> None:
    boxes = np.array([[0.0, 0, 50, 50], [0, 0, 50, 50]])
    xyxy, _ = sanitize_xywh(boxes, np.array([100, 20]), np.array([30, 100]))
    np.testing.assert_allclose(xyxy[:, 2:], [[30, 50], [50, 20]])


def test_overlap_is_with_the_open_image() -> None:
    boxes = np.array(
        [[-5.0, 0, 0, 9], [-5, 0, 1, 9], [10, 0, 12, 9], [9, 9, 12, 12]]
    )
    assert boxes_overlap_image(boxes, 10, 10).tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_points_to_box_uses_masked_points_only() -> None:
    points = np.array([[[1.0, 2], [5, 1], [99, 99]]] * 2)
    mask = np.array([[1, 1, 0], [0, 0, 0]])
    boxes, valid = points_to_box(points, mask)
    np.testing.assert_allclose(boxes, [[1, 1, 5, 2], [0, 0, 0, 0]])
    assert valid.tolist() == [True, False]
    empty, valid = points_to_box(np.zeros((3, 0, 2)))
    assert not valid.any()
    assert empty.shape == (3, 4)


def test_iou_of_known_boxes() -> None:
    a = torch.tensor([0.0, 0, 2, 2])
    b = torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3], [4, 4, 5, 5]])
    torch.testing.assert_close(
        box_iou(a, b), torch.tensor([1, 1 / 7, 0]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        generalized_box_iou(a, b),
        torch.tensor([1, 1 / 7 - 2 / 9, -20 / 25]),
        atol=1e-6,
        rtol=0,
    )


def test_iou_of_a_point_is_zero_not_nan() -> None:
    point = torch.zeros(4, requires_grad=True)
    value = generalized_box_iou(point, point)
    value.backward()
    assert value == 0
    assert point.grad.isfinite().all()
