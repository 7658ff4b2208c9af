# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Do the labels say what the pixels show?"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from aios.structures import Camera, Mesh
from aios.synthetic.bodies import Figure
from aios.synthetic.labels import camera_parameters, label_scene
from aios.synthetic.persons import make_person, to_local
from aios.synthetic.poses import pose_from_names
from aios.synthetic.rendering import render_scene
from aios.synthetic.scene import Scene
from aios.synthetic.views import View
from aios.visualization import render_meshes


def params(labels, row):
    return {
        k[len('smplx/') :]: v[row]
        for k, v in labels.items()
        if k.startswith('smplx/')
    }


def pairs(scenes):
    """(scene, photograph, labels, row, person) of all labeled persons."""
    for scene, photograph, labels, _ in scenes:
        for row, index in enumerate(labels['meta/person_id']):
            yield scene, photograph, labels, row, scene.persons[index]


def test_parameters_rebuild_the_rendered_mesh(scenes, bank):
    worst = 0.0
    for scene, _, labels, row, person in pairs(scenes):
        gender = labels['meta/gender'][row]
        vertices, joints = bank.forward([gender], [params(labels, row)])
        rendered = scene.view.to_camera(person.vertices)
        worst = max(worst, np.abs(vertices[0] - rendered).max())
        np.testing.assert_allclose(
            labels['keypoints3d_smplx'][row, :144, :3], joints[0], atol=1e-4
        )
    assert worst < 1e-4


def test_2d_joints_are_the_projected_3d_joints(scenes):
    for scene, _, labels, row, _ in pairs(scenes):
        fx, fy = labels['meta/focal_length'][row]
        cx, cy = labels['meta/principal_point'][row]
        points = labels['keypoints3d_smplx'][row, :144]
        pixels = points[:, :2] / points[:, 2:3] * [fx, fy] + [cx, cy]
        np.testing.assert_allclose(
            labels['keypoints2d_smplx'][row, :144, :2], pixels, atol=0.05
        )
        np.testing.assert_allclose(
            scene.view.camera.focal, [fx, fy], rtol=1e-6
        )


def test_labeled_vertices_land_on_the_persons_pixels(scenes, bank):
    """Vertices in front of the depth buffer carry the person's id."""
    hits = total = 0
    for scene, photograph, labels, row, _ in pairs(scenes):
        vertices, _ = bank.forward(
            [labels['meta/gender'][row]], [params(labels, row)]
        )
        camera = scene.view.camera
        pixel = np.floor(camera.project(vertices[0])).astype(int)
        inside = ((pixel >= 0) & (pixel < [camera.width, camera.height])).all(
            1
        )
        x, y = pixel[inside].T
        front = vertices[0][inside, 2] <= photograph.depth[y, x] + 1e-3
        near = np.zeros(front.sum(), bool)
        for dx, dy in itertools.product((-1, 0, 1), repeat=2):
            nx = np.clip(x[front] + dx, 0, camera.width - 1)
            ny = np.clip(y[front] + dy, 0, camera.height - 1)
            near |= photograph.ids[ny, nx] == labels['meta/person_id'][row]
        hits += near.sum()
        total += front.sum()
    # Outline pixels, whose center may miss the body, are one pixel off.
    assert total > 10000 and hits / total > 0.99


def test_boxes_are_tight_around_the_silhouette(scenes, bank):
    for scene, _, labels, row, person in pairs(scenes):
        camera = scene.view.camera
        faces = bank.template(person.body.figure.gender).faces
        mesh = Mesh(scene.view.to_camera(person.vertices), faces)
        alone = render_meshes([mesh], camera.K, camera.height, camera.width)
        y, x = np.nonzero(alone.ids >= 0)
        expected = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        bx, by, bw, bh, conf = labels['bbox_xywh'][row]
        np.testing.assert_allclose(
            [bx, by, bx + bw, by + bh], expected, atol=1.5
        )
        assert conf == 1


def test_part_boxes_hold_the_part_and_lie_inside_the_image(scenes):
    seen = 0
    groups = dict(
        lhand_bbox_xywh=range(25, 40),
        rhand_bbox_xywh=range(40, 55),
        face_bbox_xywh=range(76, 144),
    )
    for scene, _, labels, row, _ in pairs(scenes):
        size = np.array([scene.view.camera.width, scene.view.camera.height])
        for key, joints in groups.items():
            x, y, w, h, conf = labels[key][row]
            if conf == 0:
                assert (x, y, w, h) == (0, 0, 0, 0)
                continue
            seen += 1
            assert x >= 0 and y >= 0
            assert x + w <= size[0] + 1e-3 and y + h <= size[1] + 1e-3
            points = labels['keypoints2d_smplx'][row, list(joints), :2]
            inside = np.clip(points, 0, size)
            assert (inside >= [x - 1, y - 1]).all()
            assert (inside <= [x + w + 1, y + h + 1]).all()
    assert seen > 10


def standing(bank, position, heading=0.0, gesture='spread_arms'):
    pose = pose_from_names(np.random.default_rng(0), 'stand', gesture)
    figure = Figure('neutral', np.zeros(10), np.zeros(10), pose)
    vertices, joints = bank.pose([figure])
    template = bank.template('neutral')
    body = to_local(figure, vertices[0], joints[0], template.faces)
    return make_person(body, template.segment, heading, np.array(position))


@pytest.fixture
def stage(scenes):
    """A camera in front of an empty scene."""
    scene = scenes[0][0]
    camera = Camera.from_focal(300, (320, 240))
    view = View.looking(camera, 1.2, 0.0)

    def make(*persons):
        outfits = (scene.outfits[0],) * len(persons)
        return replace(scene, view=view, persons=persons, outfits=outfits)

    return make


def label(scene: Scene, bank):
    photograph = render_scene(
        np.random.default_rng(0), scene, bank, supersample=1
    )
    return label_scene(scene, bank, photograph)


def test_alone_and_facing_the_camera_all_parts_are_seen(stage, bank):
    labels, counts = label(stage(standing(bank, [0, -3.0])), bank)
    assert not counts
    assert labels['meta/occ'][0] == 0
    for key in ('lhand_bbox_xywh', 'rhand_bbox_xywh', 'face_bbox_xywh'):
        assert labels[key][0, 4] == 1, key
    landmarks = labels['keypoints2d_smplx_visible'][0, 76:127, 0]
    assert landmarks.mean() > 0.9


def test_face_is_hidden_from_behind(stage, bank):
    person = standing(bank, [0, -3.0], heading=np.pi)
    labels, _ = label(stage(person), bank)
    assert labels['face_bbox_xywh'][0].tolist() == [0, 0, 0, 0, 0]
    assert labels['keypoints2d_smplx_visible'][0, 76:127, 0].mean() < 0.1
    assert labels['lhand_bbox_xywh'][0, 4] == 1


def test_a_person_in_front_hides(stage, bank):
    back = standing(bank, [0, -4.5])
    front = standing(bank, [0.05, -2.2], gesture='relaxed')
    labels, _ = label(stage(front, back), bank)
    assert labels['meta/person_id'].tolist() == [0, 1]
    assert labels['meta/occ'][0] == 0
    assert 30 < labels['meta/occ'][1] < 95
    assert labels['keypoints2d_smplx_visible'][1, 0, 0] == 0  # pelvis
    assert labels['keypoints2d_smplx'][1, 0, 2] == 1
    # The spread arms still show on both sides.
    assert labels['lhand_bbox_xywh'][1, 4] == 1
    assert labels['face_bbox_xywh'][1, 4] == 0


def test_persons_who_cannot_be_seen_are_dropped_and_counted(stage, bank):
    front = standing(bank, [0, -1.6], gesture='relaxed')
    hidden = standing(bank, [0, -6.0], gesture='relaxed')
    outside = standing(bank, [9.0, -3.0])
    labels, counts = label(stage(front, hidden, outside), bank)
    assert labels['meta/person_id'].tolist() == [0]
    assert counts == dict(barely_visible=1, outside_image=1)


def test_cut_off_persons_have_boxes_at_the_border(stage, bank):
    labels, _ = label(stage(standing(bank, [1.4, -3.0])), bank)
    x, y, w, h, _ = labels['bbox_xywh'][0]
    assert x + w == pytest.approx(320)
    assert labels['lhand_bbox_xywh'][0, 4] == 0  # outside, to the right
    assert labels['meta/visible'][0] < 0.9


def test_camera_parameters_move_with_the_heading(bank, stage):
    scene = stage(standing(bank, [0.3, -3.0], heading=0.8))
    mean = bank.template('neutral').hand_mean
    values = camera_parameters(scene.persons[0], scene.view, mean)
    vertices, _ = bank.forward(['neutral'], [values])
    np.testing.assert_allclose(
        vertices[0],
        scene.view.to_camera(scene.persons[0].vertices),
        atol=1e-4,
    )
