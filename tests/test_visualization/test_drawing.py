# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.results import instance_color
from aios.structures import COCO_17, SMPLX_137
from aios.visualization import (
    contact_sheet,
    draw_boxes,
    draw_label,
    draw_skeleton,
    joint_colors,
)
from aios.visualization.drawing import line_width

WHITE = (255, 255, 255)


def canvas(height=64, width=96):
    return np.zeros((height, width, 3), np.uint8)


def centroid(image):
    """Mean (x, y) of what was drawn, pixel centers at .5."""
    weight = image.max(-1).astype(float)
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / (
        weight.sum()
    )


def only_joint(name, x, y):
    """Keypoints of the 137 set with one joint in the image."""
    keypoints = np.full((137, 2), np.nan)
    keypoints[SMPLX_137.index(name)] = x, y
    return keypoints


@settings(deadline=None, max_examples=30)
@given(x=st.floats(20, 70), y=st.floats(20, 40))
def test_joints_are_drawn_where_they_are(x, y):
    image = draw_skeleton(
        canvas(), only_joint('left_knee', x, y), SMPLX_137, thickness=4
    )
    np.testing.assert_allclose(centroid(image), (x, y), atol=0.15)


@settings(deadline=None, max_examples=30)
@given(x=st.floats(15, 70), y=st.floats(15, 40))
def test_boxes_are_drawn_where_they_are(x, y):
    image = draw_boxes(canvas(), [[x - 10, y - 8, x + 10, y + 8]], WHITE, 1)
    np.testing.assert_allclose(centroid(image), (x, y), atol=0.15)


def test_a_box_is_an_outline():
    image = draw_boxes(canvas(), [[10.5, 5.5, 40.5, 30.5]], WHITE, 1)
    assert (image[5, 10:41] > 0).all()
    assert (image[5:31, 40] > 0).all()
    assert not image[8:28, 13:38].any()
    assert not image[:, 44:].any()


@pytest.mark.parametrize(
    'box',
    [
        [np.nan, 1, 5, 5],
        [0, 0, np.inf, 5],
        [20, 20, 20, 30],
        [30, 30, 20, 20],
        [1000, 1000, 2000, 2000],
    ],
)
def test_boxes_that_are_none_leave_no_trace(box):
    assert not draw_boxes(canvas(), [box], WHITE).any()


def test_no_boxes():
    assert not draw_boxes(canvas(), np.zeros((0, 4)), WHITE).any()


def test_joints_that_are_not_drawn_have_no_bones():
    keypoints = np.tile([[10.0, 10.0]], (17, 1))
    for name, x in (('left_shoulder', 40), ('left_elbow', 80)):
        keypoints[COCO_17.index(name)] = x, 30
    drawn = np.zeros(17)
    drawn[COCO_17.index('left_shoulder')] = 1
    image = draw_skeleton(canvas(), keypoints, 'coco', drawn=drawn)
    assert image[30, 40].any()
    assert not image[:, 50:].any()
    drawn[COCO_17.index('left_elbow')] = 1
    image = draw_skeleton(canvas(), keypoints, 'coco', drawn=drawn)
    assert image[29:31, 60].any()


def test_hidden_joints_are_rings():
    keypoints = only_joint('left_knee', 30.5, 30.5)
    seen = draw_skeleton(canvas(), keypoints, SMPLX_137, thickness=6)
    hidden = draw_skeleton(
        canvas(), keypoints, SMPLX_137, visible=np.zeros(137), thickness=6
    )
    assert seen[30, 30].any()
    assert not hidden[30, 30].any()
    assert hidden[30, 23:25].any()


@pytest.mark.parametrize('far', [1e9, -1e9, 1e30, np.nan, np.inf])
def test_coordinates_of_any_size_are_survived(far):
    keypoints = np.tile([[30.0, 30.0]], (137, 1))
    keypoints[SMPLX_137.index('left_knee')] = far
    image = draw_skeleton(canvas(), keypoints, SMPLX_137)
    assert image[30, 30].any()


def test_bones_of_far_joints_keep_their_direction():
    """As of joints that are nearly beside the camera."""
    keypoints = np.full((17, 2), np.nan)
    keypoints[COCO_17.index('left_elbow')] = 10.5, 20.5
    keypoints[COCO_17.index('left_wrist')] = 1e6, 2e5
    image = draw_skeleton(canvas(), keypoints, 'coco')
    rows, columns = np.nonzero(image[:, 20:].any(-1))
    np.testing.assert_allclose(rows, 20 + 0.2 * (columns + 10), atol=2.5)


def test_left_and_right_have_different_colors():
    colors = joint_colors('smplx_137')
    assert colors.shape == (137, 3)
    for left, right in SMPLX_137.flip_pairs:
        in_face = left in SMPLX_137.groups['face']
        assert (tuple(colors[left]) == tuple(colors[right])) == in_face


def test_persons_have_different_colors():
    colors = [instance_color(index) for index in range(24)]
    assert len(set(colors)) == 24
    neighbors = np.abs(np.diff(np.array(colors), axis=0)).max(1)
    assert neighbors.min() > 60


def test_wrong_numbers_of_joints_are_refused():
    with pytest.raises(ValueError, match=r"'smplx_137' must have.*\(137, 2\)"):
        draw_skeleton(canvas(), np.zeros((17, 2)), 'smplx_137')
    with pytest.raises(ValueError, match='flags of set'):
        draw_skeleton(canvas(), np.zeros((17, 2)), 'coco', visible=np.ones(3))


@pytest.mark.parametrize(
    'image', [np.zeros((5, 5, 3)), np.zeros((5, 5), np.uint8)]
)
def test_images_of_other_types_are_refused(image):
    with pytest.raises(ValueError, match=r'must be \(H, W, 3\) uint8'):
        draw_boxes(image, [[0, 0, 3, 3]], WHITE)


@pytest.mark.parametrize('position', [(-50, -50), (500, 500), (10, 60)])
def test_labels_stay_inside_the_image(position):
    image = draw_label(canvas(), 'Zoë 0.93', position, (250, 250, 0))
    plate = (image == (250, 250, 0)).all(-1)
    assert plate.sum() > 300


def test_contact_sheet_has_a_cell_per_image():
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    images = [np.full((20, 30, 3), color, np.uint8) for color in colors]
    sheet = contact_sheet(images, columns=2, cell_size=(40, 60), gap=4)
    assert sheet.shape == (2 * 44 + 4, 2 * 64 + 4, 3)
    for index, color in enumerate(colors):
        row, column = divmod(index, 2)
        center = sheet[4 + 44 * row + 20, 4 + 64 * column + 30]
        assert tuple(center) == color


def test_contact_sheet_keeps_the_shape_of_images():
    tall = np.full((100, 20, 3), 255, np.uint8)
    sheet = contact_sheet([tall], cell_size=(50, 50), gap=0)
    filled = (sheet == 255).all(-1)
    assert filled.sum() == 50 * 10
    assert filled[:, 20:30].all()


def test_contact_sheet_is_about_square():
    images = [canvas(4, 6)] * 9
    sheet = contact_sheet(images, cell_size=(10, 10), gap=0)
    assert sheet.shape == (30, 30, 3)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'images': []}, 'at least one image'),
        ({'images': [canvas()], 'columns': 0}, 'columns must be positive'),
        ({'images': [canvas()], 'captions': []}, '0 captions do not fit 1'),
    ],
)
def test_contact_sheet_refuses_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(**arguments)


def test_lines_of_small_persons_are_thin():
    image = np.zeros((1728, 2304, 3), np.uint8)
    sides = (None, 1600, 80, 1, 0)
    boxes = [None if x is None else np.array([5, 5, 5 + x / 3, 5 + x])
             for x in sides]  # fmt: skip
    assert [line_width(image, box) for box in boxes] == [6, 6, 2, 1, 1]
