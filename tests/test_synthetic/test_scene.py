# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools

import numpy as np
import pytest

from aios.structures import Camera
from aios.synthetic import SceneOptions, sample_scene
from aios.synthetic.appearance import dress_body, sample_outfit
from aios.synthetic.collisions import bodies_overlap, has_self_penetration
from aios.synthetic.persons import Seat, collides, make_person, sample_bodies
from aios.synthetic.views import View, sample_view


def test_all_persons_stands_on_the_floor(scenes):
    heights = [
        p.vertices[:, 1].min() for scene, *_ in scenes for p in scene.persons
    ]
    assert len(heights) > 12
    np.testing.assert_allclose(heights, 0, atol=1e-5)


def test_no_person_is_inside_a_person_else(scenes, bank, winding_number):
    """An independent, slower test than the one placement uses."""
    pairs = 0
    for scene, *_ in scenes:
        for a, b in itertools.permutations(scene.persons, 2):
            low, high = b.vertices.min(0), b.vertices.max(0)
            near = ((a.vertices > low) & (a.vertices < high)).all(1)
            points = a.vertices[near][::25]
            if len(points) == 0:
                continue
            pairs += 1
            faces = bank.template(b.body.figure.gender).faces
            assert (winding_number(points[:60], b.vertices, faces) < 0.5).all()
    assert pairs > 0, 'no two persons are close: the test shows nothing'


@pytest.mark.parametrize(('apart', 'overlap'), [(0.15, True), (1.2, False)])
def test_placement_tells_close_from_too_close(bank, apart, overlap):
    bodies, _ = sample_bodies(
        np.random.default_rng(1), bank, 2, ['female'], seats=False
    )
    segment = bank.template('female').segment
    a = make_person(bodies[0], segment, 0.3, np.array([0.0, -3.0]))
    b = make_person(bodies[1], segment, -2.0, np.array([apart, -3.0]))
    assert collides(a, [b]) is overlap
    assert (
        bodies_overlap(a.vertices, a.normals, b.vertices, b.normals) is overlap
    )


def test_hand_in_the_belly_is_noticed(bank):
    bodies, _ = sample_bodies(np.random.default_rng(0), bank, 1, ['neutral'])
    template = bank.template('neutral')
    body = bodies[0]
    assert not has_self_penetration(
        body.vertices, body.normals, template.segment
    )
    moved = body.vertices.copy()
    hand = template.part_vertices['left_hand']
    belly = body.vertices[template.segment == 3].mean(0)
    moved[hand] += belly - moved[hand].mean(0)
    assert has_self_penetration(moved, body.normals, template.segment)


def test_no_person_leaves_the_room_or_touches_the_camera(scenes):
    for scene, *_ in scenes:
        for person in scene.persons:
            assert scene.view.to_camera(person.vertices)[:, 2].min() > 0.4
            if not scene.surroundings.outdoor:
                back = scene.surroundings.wall_distances[0]
                assert person.vertices[:, 2].min() > -back


def test_number_of_persons_and_genders_are_kept(bank):
    options = SceneOptions(160, 120, persons=(2, 3), genders=('female',))
    for seed in range(8):
        scene = sample_scene(np.random.default_rng(seed), bank, options)
        left_out = scene.counts['no_free_place']
        assert 2 <= len(scene.persons) + left_out <= 3
        assert {p.body.figure.gender for p in scene.persons} <= {'female'}


def test_persons_face_the_camera_or_anywhere(bank):
    """Angle to the direction of the camera; 0.5 pi on average if uniform."""
    means = []
    for any_heading in (False, True):
        options = SceneOptions(
            160, 120, persons=(1, 2), any_heading=any_heading
        )
        angles = []
        for seed in range(16):
            scene = sample_scene(np.random.default_rng(seed), bank, options)
            for person in scene.persons:
                x, z = person.position
                turn = person.heading - np.arctan2(-x, -z)
                angles.append(abs(np.angle(np.exp(1j * turn))))
        means.append(np.mean(angles))
    assert means[0] < 1.1
    assert 1.2 < means[1] < 1.9


@pytest.mark.parametrize('fill', [(0.7, 1.0), (0.4, 0.4)])
def test_persons_fill_as_much_as_wanted(fill):
    """Of the height of a portrait, somebody of 1.7 m where it aims."""
    for seed in range(50):
        view = sample_view(np.random.default_rng(seed), 96, 128, fill)
        share = view.camera.focal[1] * 1.7 / view.subject_distance / 128
        assert fill[0] - 1e-6 <= share <= fill[1] + 1e-6


def test_same_seed_same_scene(bank):
    options = SceneOptions(160, 120)
    a, b = (
        sample_scene(np.random.default_rng(11), bank, options)
        for _ in range(2)
    )
    c = sample_scene(np.random.default_rng(12), bank, options)
    for first, second in zip(a.persons, b.persons, strict=True):
        np.testing.assert_array_equal(first.vertices, second.vertices)
    assert not np.array_equal(a.persons[0].vertices, c.persons[0].vertices)


def test_seat_contains_its_inside(winding_number):
    seat = Seat(np.array([1.0, 0.2, -2.0]), np.array([0.3, 0.2, 0.1]), 0.7)
    vertices, faces, normals = seat.mesh()
    inside = winding_number(
        vertices * 0.9 + seat.center * 0.1, vertices, faces
    )
    np.testing.assert_allclose(inside, 1, atol=1e-6)
    assert seat.contains(vertices * 0.9 + seat.center * 0.1)
    assert not seat.contains(vertices * 1.1 - seat.center * 0.1)
    assert (((vertices - seat.center) * normals).sum(1) > 0).all()


def test_view_sees_what_the_world_holds():
    camera = Camera.from_focal(500, (640, 480))
    view = View.looking(camera, 1.5, pitch=0.2)
    ahead = np.array([[0.0, 1.5 - np.tan(0.2) * 4, -4.0]])
    np.testing.assert_allclose(view.project(ahead), [[320, 240]], atol=1e-9)
    left_up = view.project(np.array([[-0.5, 2.0, -4.0]]))[0]
    assert left_up[0] < 320 and left_up[1] < 240
    rays = view.rays()
    hit = view.position + rays[300, 100] * 3.0
    np.testing.assert_allclose(view.project(hit), [100.5, 300.5], atol=1e-3)


@pytest.mark.parametrize('gender', ['neutral', 'male', 'female'])
def test_clothes_cover_the_trunk_not_the_hands(bank, gender):
    template = bank.template(gender)
    rng = np.random.default_rng(5)
    for _ in range(10):
        outfit = sample_outfit(rng, gender)
        colors, _ = dress_body(template, outfit)
        assert colors.min() >= 0 and colors.max() <= 1
        hand = template.part_vertices['left_hand']
        np.testing.assert_allclose(
            colors[hand[-100:]],
            np.broadcast_to(outfit.skin, (100, 3)),
            atol=1e-6,
        )
        chest = template.segment == 6
        bare = np.abs(colors[chest] - outfit.skin).max(1) < 0.02
        assert bare.mean() < 0.2


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(persons=(3, 1)), r'persons must be ascending.*\(3, 1\)'),
        (dict(genders=()), 'genders must be not empty'),
        (dict(fill=(1, 0.5)), 'fill must be ascending'),
        (dict(empty=1, photographic=True), 'empty must be .* less than 1'),
        (dict(empty=0.5), 'need photographic'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SceneOptions(**options)
