# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Overlays and views of persons whose meshes are spheres."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from aios.results import FrameResult, complete_instances, instance_color
from aios.structures import SMPLX_144, Mesh
from aios.visualization import (
    OverlayDrawer,
    OverlayOptions,
    OverlayWriter,
    SceneView,
)

SIZE = (160, 120)
K = np.array([[200.0, 0, 80], [0, 200, 60], [0, 0, 1]])
GRAY = np.full((120, 160, 3), 120, np.uint8)


@pytest.fixture(scope='module')
def sphere(make_sphere):
    return make_sphere(16, 24)


@pytest.fixture
def make_frame(sphere):
    """``make_frame({id: (x, y, z), ...})``: spheres of 0.5 m.

    All joints are at the center.
    """

    def make(places: dict[int, tuple], **fields) -> FrameResult:
        centers = np.array(list(places.values()), float).reshape(-1, 3)
        vertices = 0.5 * sphere[0] + centers[:, None]
        pixels = centers @ K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        given = {
            'transl': centers,
            'joints3d': np.tile(centers[:, None], (144, 1)),
            'bboxes': np.concatenate([pixels - 20, pixels + 20], axis=1),
            'vertices': vertices,
        }
        persons = complete_instances(
            person_id=np.array(list(places), np.int64), **(given | fields)
        )
        return FrameResult('a', 0, 0.0, K, SIZE, persons)

    return make


def _hue_error(image: np.ndarray, person: int) -> np.ndarray:
    """How far the color of each pixel is from a person's, shading apart."""
    color = np.array(instance_color(person), float)
    pixels = image.astype(float)
    length = np.linalg.norm(pixels, axis=-1, keepdims=True).clip(1)
    return np.abs(pixels / length - color / np.linalg.norm(color)).max(-1)


def _is_drawn(image: np.ndarray, person: int) -> np.ndarray:
    return _hue_error(image, person) < 0.06


MESH_ONLY = OverlayOptions(layers=('mesh',), mesh_alpha=1.0)


def test_who_is_nearer_hides_the_other(make_frame, sphere) -> None:
    """Whatever the order of the rows, the depth decides."""
    draw = OverlayDrawer(sphere[1], MESH_ONLY)
    for places in (
        {4: (0, 0, 3), 9: (0.3, 0, 6)},
        {9: (0.3, 0, 6), 4: (0, 0, 3)},
    ):
        drawn = draw(make_frame(places), GRAY)
        near, far = _is_drawn(drawn, 4), _is_drawn(drawn, 9)
        assert near[60, 80]
        assert near[60, 88]  # where the other would be
        # The one behind would cover 35 x 35 pixels, and is nearly hidden.
        assert near.sum() > 2000
        assert far.sum() < 100


def test_colors_follow_ids(make_frame, sphere) -> None:
    draw = OverlayDrawer(sphere[1], MESH_ONLY)
    first = draw(make_frame({3: (-0.7, 0, 4), 5: (0.7, 0, 4)}), GRAY)
    second = draw(make_frame({5: (-0.7, 0, 4), 3: (0.7, 0, 4)}), GRAY)
    assert _is_drawn(first, 3)[60, 45]
    assert _is_drawn(first, 5)[60, 115]
    assert _is_drawn(second, 5)[60, 45]
    assert _is_drawn(second, 3)[60, 115]


def test_the_image_is_mixed_in_and_not_changed(make_frame, sphere) -> None:
    options = OverlayOptions(layers=('mesh',), mesh_alpha=0.5)
    frame = make_frame({1: (0, 0, 4)})
    opaque = OverlayDrawer(sphere[1], MESH_ONLY)(frame, GRAY).astype(int)
    half = OverlayDrawer(sphere[1], options)(frame, GRAY).astype(int)
    assert (GRAY == 120).all()
    np.testing.assert_allclose(half, (opaque + 120) / 2, atol=1)


def test_images_of_another_size(make_frame, sphere) -> None:
    """The overlay has the size of the image that it is drawn into."""
    options = OverlayOptions(layers=('mesh', 'boxes'), mesh_alpha=1)
    frame = make_frame({1: (0.5, 0.2, 4)})
    small = OverlayDrawer(sphere[1], options)(frame, GRAY)
    large = OverlayDrawer(sphere[1], options)(
        frame, np.full((360, 480, 3), 120, np.uint8)
    )
    assert large.shape == (360, 480, 3)
    inner = np.s_[60:80, 95:115]  # without lines, whose width differs
    reduced = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[inner].astype(int) - small[inner]).max() < 12


def test_boxes_and_keypoints_lie_where_they_are(make_frame, sphere) -> None:
    joints = np.zeros((1, 144, 2))
    joints[0, :, 0], joints[0, :, 1] = 100.5, 40.5
    frame = make_frame({2: (0, 0, 4)}, joints2d=joints)
    box = OverlayDrawer(sphere[1], OverlayOptions(layers=('boxes',)))
    changed = (box(frame, GRAY) != GRAY).any(-1)
    rows, columns = np.nonzero(changed)
    # The box of 40 pixels, and the label above its corner.
    assert columns.min() == pytest.approx(59.5, abs=1.5)
    assert columns.max() == pytest.approx(100, abs=1.5)
    assert rows.max() == pytest.approx(80, abs=1.5)
    points = OverlayDrawer(sphere[1], OverlayOptions(layers=('skeletons',)))
    rows, columns = np.nonzero((points(frame, GRAY) != GRAY).any(-1))
    assert abs(rows.mean() - 40) < 1
    assert abs(columns.mean() - 100) < 1


def test_joints_behind_the_camera_are_not_drawn(make_frame, sphere) -> None:
    """Their pixels are mirrored."""
    pixels = np.tile([[[20.5, 30.5]]], (144, 1))
    elbow, wrist = (
        SMPLX_144.index(f'left_{name}') for name in ('elbow', 'wrist')
    )
    pixels[0, elbow], pixels[0, wrist] = (80.5, 60.5), (120.5, 60.5)
    joints = np.tile([[[0.0, 0, 1]]], (144, 1))
    draw = OverlayDrawer(sphere[1], OverlayOptions(layers=('skeletons',)))
    for depth, is_drawn in ((0.1, True), (-0.1, False)):
        joints[0, wrist, 2] = depth
        frame = make_frame({1: (0, 0, 4)}, joints2d=pixels, joints3d=joints)
        changed = (draw(frame, GRAY) != GRAY).any(-1)
        assert changed[60, 80]
        assert changed[60, 120] == changed[60, 100] == is_drawn


def test_boxes_of_who_is_nearer_are_on_top(make_frame, sphere) -> None:
    """Also of bodies without a translation."""
    draw = OverlayDrawer(sphere[1], OverlayOptions(layers=('boxes',)))
    box = np.tile([40.0, 40, 120, 100], (2, 1))
    for depths in ((3, 6), (6, 3)):
        places = {i: (0, 0, z) for i, z in zip((4, 9), depths, strict=True)}
        zero = np.zeros((2, 3))
        drawn = draw(make_frame(places, bboxes=box, transl=zero), GRAY)
        near = 4 if depths[0] < depths[1] else 9
        assert _is_drawn(drawn, near)[100, 60:100].all()


def test_no_person_and_no_meshes(make_frame, sphere) -> None:
    draw = OverlayDrawer(sphere[1], OverlayOptions(views=('side',)))
    drawn = draw(make_frame({}), GRAY)
    assert drawn.shape == (120, 220, 3)
    assert (drawn[:, :160] == GRAY).all()
    persons = dict(make_frame({1: (0, 0, 4)}).instances)
    del persons['vertices']
    bare = FrameResult('a', 0, 0.0, K, SIZE, persons)
    assert (draw(bare, GRAY)[:, :160] != GRAY).any()  # box and label


def test_images_that_have_nothing_in_common(make_frame, sphere) -> None:
    """Each one is shown as if it were alone; frames of a video are not."""
    options = OverlayOptions(views=('side',))
    draw = OverlayDrawer(sphere[1], options)
    frame = make_frame({1: (0, 0, 20)})
    alone = OverlayDrawer(sphere[1], options)(frame, GRAY)
    draw(make_frame({1: (0, 0, 4)}), GRAY)
    np.testing.assert_array_equal(draw(frame, GRAY), alone)
    later = replace(make_frame({1: (0, 0, 4)}), timestamp=0.04)
    assert (draw(later, GRAY) != draw(replace(later, timestamp=0), GRAY)).any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'layers': ('bones',)}, "'bones'"), ({'views': ('back',)}, "'back'")],
)
def test_unknown_layers(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        OverlayOptions(**options)


def _columns(panel: np.ndarray, person: int) -> float:
    return float(np.nonzero(_is_drawn(panel, person))[1].mean())


def _rows(panel: np.ndarray, person: int) -> float:
    return float(np.nonzero(_is_drawn(panel, person))[0].mean())


@pytest.mark.parametrize('name', ['side', 'top'])
def test_views_show_the_distance(make_frame, sphere, name) -> None:
    """What overlaps in the image lies apart, by the right distance."""
    frame = make_frame({1: (0, -0.5, 3), 6: (1, 0.5, 7)})
    meshes = [
        Mesh(v, sphere[1], np.divide(instance_color(i), 255))
        for i, v in zip((1, 6), frame.instances['vertices'], strict=True)
    ]
    view = SceneView(name)
    panel = view(meshes, K, SIZE, 200, 300)
    width = {i: _is_drawn(panel, i).sum() for i in (1, 6)}
    assert min(width.values()) > 100
    # A sphere is one meter wide.
    meter = (2 * np.sqrt(width[1] / np.pi) + 2 * np.sqrt(width[6] / np.pi)) / 2
    right = _columns(panel, 6) - _columns(panel, 1)
    down = _rows(panel, 6) - _rows(panel, 1)
    wanted = {'side': (4, 1), 'top': (1, -4)}[name]
    np.testing.assert_allclose(
        np.divide((right, down), meter), wanted, atol=0.25
    )


@pytest.mark.parametrize('name', ['side', 'top'])
def test_views_of_persons_behind_the_camera(make_frame, sphere, name) -> None:
    vertices = make_frame({1: (0, 0, -0.1)}).instances['vertices'][0]
    mesh = Mesh(vertices, sphere[1], np.divide(instance_color(1), 255))
    panel = SceneView(name)([mesh], K, SIZE, 200, 300)
    assert _is_drawn(panel, 1).sum() > 1000


def test_views_stay_calm(make_frame, sphere) -> None:
    """A step of one person moves the image of the others only a little."""
    view = SceneView('top')

    def draw(x: float) -> float:
        frame = make_frame({1: (-2, 0, 4), 6: (x, 0, 5)})
        meshes = [
            Mesh(v, sphere[1], np.divide(instance_color(i), 255))
            for i, v in zip((1, 6), frame.instances['vertices'], strict=True)
        ]
        return _columns(view(meshes, K, SIZE, 150, 200), 1)

    before = draw(2.0)
    assert abs(draw(1.0) - before) < 3


def test_writer_of_images(make_frame, sphere, tmp_path) -> None:
    with OverlayWriter(tmp_path / 'vis', sphere[1], suffix='.png') as writer:
        assert writer.per_frame
        assert not writer.is_done('a')
        writer.write(make_frame({1: (0, 0, 4)}), GRAY)
        assert writer.is_done('a')
        with pytest.raises(FileExistsError):
            writer.write(make_frame({1: (0, 0, 4)}), GRAY)
        with pytest.raises(ValueError, match="'a': has no image"):
            writer.write(make_frame({}), None)
    read = cv2.imread(str(tmp_path / 'vis/a.png'))[..., ::-1]
    assert _is_drawn(read, 1).sum() > 500


@pytest.mark.parametrize('size', [(1, 1), (160, 1), (1, 120)])
def test_images_of_one_row_or_column(make_frame, sphere, size) -> None:
    """There is less than a row for each view."""
    options = OverlayOptions(views=('side', 'top'))
    frame = replace(make_frame({1: (0, 0, 4)}), size=size)
    width, height = size
    drawn = OverlayDrawer(sphere[1], options)(frame, GRAY[:height, :width])
    assert drawn.shape == (height, width + max(1, height // 2), 3)


def test_writer_of_a_video(make_frame, sphere, tmp_path) -> None:
    path = tmp_path / 'vis.mp4'
    options = OverlayOptions(layers=('mesh',), views=('side', 'top'))
    with OverlayWriter(path, sphere[1], 10, options=options) as writer:
        assert not writer.per_frame
        for x in (-0.5, 0.0, 0.5):
            writer.write(make_frame({1: (x, 0, 4)}), GRAY)
    capture = cv2.VideoCapture(str(path))
    seen = []
    while (read := capture.read())[0]:
        assert read[1].shape == (120, 220, 3)
        seen.append(_columns(read[1][:, :160, ::-1], 1))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    np.testing.assert_allclose(seen, (55, 80, 105), atol=2)
