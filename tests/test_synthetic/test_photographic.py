# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Scenes framed and lit as photographs are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from aios.datasets import HumanData, HumanDataset
from aios.synthetic import (
    GeneratorOptions,
    SceneOptions,
    generate_dataset,
    label_scene,
    list_panoramas,
    render_scene,
    sample_photographic_scene,
)
from aios.synthetic.environments import Environment
from aios.synthetic.photographic import sample_photographic_view
from aios.synthetic.rendering import background_image
from aios.utils.run_folder import OtherSettingsError


@pytest.fixture(scope='module')
def panoramas(tmp_path_factory):
    """Blue above, brown below, a lamp ahead (-z) to the right (+x)."""
    image = np.full((64, 128, 3), (0.2, 0.3, 0.4), np.float32)  # BGR
    image[:32] = (1.0, 0.8, 0.6)
    image[26:30, 94:98] = 200.0
    folder = tmp_path_factory.mktemp('panoramas')
    cv2.imwrite(str(folder / 'lamp.hdr'), image)
    return tuple(list_panoramas(folder))


@pytest.fixture(scope='module')
def options(panoramas):
    return SceneOptions(
        128, 96, persons=(1, 3), photographic=True, panoramas=panoramas
    )


@pytest.fixture(scope='module')
def drawn(bank, options):
    return [
        sample_photographic_scene(np.random.default_rng(seed), bank, options)
        for seed in range(16)
    ]


def test_cameras_are_those_of_photographs():
    angles, levels, lenses, sizes = [], [], [], []
    for seed in range(300):
        view = sample_photographic_view(
            np.random.default_rng(seed), 256, 192, 1.7
        )
        angles.append(np.degrees(np.arcsin(-view.rotation[2, 1])))
        levels.append(view.position[1])
        focal = view.camera.focal[1]
        lenses.append(focal / 256 * 36)
        sizes.append(focal * 1.7 / view.subject_distance)
    assert min(angles) > -15.5 and max(angles) < 30.5
    assert max(angles) > 15 and min(angles) < -8
    assert 0.4 <= min(levels) < 0.7 and 2.3 < max(levels) <= 3.0
    assert 23.9 < min(lenses) < 30 and 100 < max(lenses) < 120.1
    assert 47 < min(sizes) < 60 and 400 < max(sizes) < 515


def test_persons_are_in_the_image_and_face_all_ways(drawn):
    headings = []
    for scene in drawn:
        size = [scene.view.camera.width, scene.view.camera.height]
        for person in scene.persons:
            pixels = scene.view.project(person.vertices)
            assert ((pixels > 0) & (pixels < size)).all(1).mean() > 0.02
            assert abs(person.vertices[:, 1].min()) < 1e-5
            headings.append(np.cos(person.heading))
    assert len(headings) > 16
    assert min(headings) < -0.5 and max(headings) > 0.5


def test_same_seed_same_image(bank, options):
    images = []
    for _ in range(2):
        rng = np.random.default_rng(4)
        scene = sample_photographic_scene(rng, bank, options)
        images.append(render_scene(rng, scene, bank).image)
    np.testing.assert_array_equal(*images)


def test_clothes_change_the_image_not_the_labels(bank, drawn):
    """Whoever wears volume is labeled as if it were paint."""
    scene = next(s for s in drawn if s.persons)
    bare = replace(scene, dressed=False)
    photographs = [
        render_scene(np.random.default_rng(0), s, bank) for s in (scene, bare)
    ]
    assert (photographs[0].image != photographs[1].image).any()
    labels = [
        label_scene(s, bank, p)[0]
        for s, p in zip((scene, bare), photographs, strict=True)
    ]
    for key, value in labels[0].items():
        np.testing.assert_array_equal(value, labels[1][key], err_msg=key)


def test_things_hide_persons(bank, drawn):
    """Occlusion comes from depth: without the things it is less."""
    changed = 0
    for scene in drawn[:8]:
        shown = [
            label_scene(
                s,
                bank,
                render_scene(np.random.default_rng(0), s, bank, supersample=1),
            )[0]
            for s in (scene, replace(scene, obstacles=()))
        ]
        hidden = {
            int(person): float(share)
            for person, share in zip(
                shown[0].get('meta/person_id', ()),
                shown[0].get('meta/occ', ()),
                strict=True,
            )
        }
        for person, share in zip(
            shown[1].get('meta/person_id', ()),
            shown[1].get('meta/occ', ()),
            strict=True,
        ):
            assert hidden.get(int(person), 100) >= share - 1e-4
            changed += hidden.get(int(person), 100) > share + 1
    assert changed > 0


def test_light_comes_from_where_the_panorama_is_bright(panoramas):
    """A ball is brightest towards the lamp, whichever way it is turned."""
    normals = np.random.default_rng(0).normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for turn, mirrored in ((0.0, False), (0.0, True), (1.1, False)):
        place = Environment(panoramas[0], turn, mirrored, 1.0, 0.5, 0.0)
        lit = place.shade(np.full((4000, 3), 0.5), normals, np.full(3, 0.05))
        brightest = normals[lit.sum(1).argmax()]
        across = np.pi / 2 - turn  # the lamp is to the right
        across = -across if mirrored else across
        found = np.arctan2(brightest[0], -brightest[2])
        assert abs(found - across) < 0.15


def test_background_has_the_scenes_horizon(bank, options, panoramas):
    """What is above the horizon is blue, what is below brown."""
    scene = sample_photographic_scene(
        np.random.default_rng(1), bank, replace(options, persons=(1, 1))
    )
    place = Environment(panoramas[0], 2.0, False, 1.0, 0.0, 0.0)
    scene = replace(scene, surroundings=None, photo=None, environment=place)
    image = background_image(np.random.default_rng(0), scene).image
    up = scene.view.rays()[..., 1]
    blue = image[..., 2] > image[..., 0]
    sure = np.abs(up) > 0.1
    assert sure.any()
    assert (blue == (up > 0))[sure].mean() > 0.97


@pytest.fixture(scope='module')
def mixed(free_body_dir, options):
    scene = replace(options, empty=0.5, genders=('neutral',))
    return GeneratorOptions(
        scene,
        seed=2,
        body=str(free_body_dir),
        supersample=1,
        sizes=((96, 64), (64, 96)),
    )


def test_images_of_all_sizes_and_of_no_person(mixed, tmp_path):
    root = tmp_path / 'set'
    generate_dataset(root, 8, mixed)
    data = HumanData.load(root / 'humandata.npz')
    empty = data['misc']['empty_images']
    paths = [*data['image_path'], *empty['image_path']]
    heights = [*data['meta']['height'], *empty['height']]
    widths = [*data['meta']['width'], *empty['width']]
    assert len(set(paths)) == 8
    assert set(zip(widths, heights, strict=True)) == {(96, 64), (64, 96)}
    for path, height, width in zip(paths, heights, widths, strict=True):
        assert cv2.imread(str(root / path)).shape == (height, width, 3)
    assert 0 < len(empty['image_path']) < 8
    whole = HumanDataset(
        'humandata.npz', str(root), filter_cfg={'min_persons': 0}
    )
    assert len(whole) == 8
    counts = [
        len(whole.get_data_info(i)['instances_arrays']['labels'])
        for i in range(8)
    ]
    assert counts.count(0) == len(empty['image_path'])
    persons = HumanDataset('humandata.npz', str(root))
    assert len(persons) == 8 - len(empty['image_path'])


def test_photographic_sets_resume_to_the_same_bytes(mixed, tmp_path):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    generate_dataset(whole, 3, mixed)
    generate_dataset(parts, 2, mixed)
    generate_dataset(parts, 3, mixed, resume=True)
    for file in ['humandata.npz', *(f'images/{i:06d}.jpg' for i in range(3))]:
        assert (whole / file).read_bytes() == (parts / file).read_bytes()
    other = replace(mixed, scene=replace(mixed.scene, empty=0.2))
    with pytest.raises(OtherSettingsError, match='nobody'):
        generate_dataset(parts, 3, other, resume=True)


def test_bad_panoramas_are_named(bank, options, tmp_path):
    (tmp_path / '._park.hdr').touch()  # macOS
    with pytest.raises(FileNotFoundError, match='no panorama'):
        list_panoramas(tmp_path)
    file = tmp_path / 'square.hdr'
    cv2.imwrite(str(file), np.ones((32, 32, 3), np.float32))
    scene = replace(
        sample_photographic_scene(np.random.default_rng(1), bank, options),
        surroundings=None,
        photo=None,
        environment=Environment(file, 0.0, False, 1.0, 0.0, 0.0),
    )
    with pytest.raises(ValueError, match='square.hdr must be twice as wide'):
        background_image(np.random.default_rng(0), scene)
    with pytest.raises(ValueError, match='square.hdr must be twice as wide'):
        list_panoramas(tmp_path)
    header = b'#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 65535 +X 131070\n'
    for content in (b'', b'<html>', header):
        file.write_bytes(content)
        with pytest.raises(ValueError, match='square.hdr cannot be read'):
            list_panoramas(tmp_path)


def test_panoramas_of_any_size_are_read(tmp_path):
    (tmp_path / 'sub.hdr').mkdir()
    small = np.random.default_rng(0).random((64, 128, 3), np.float32)
    for name, image in dict(
        small=small, large=np.repeat(np.repeat(small, 8, 0), 8, 1)
    ).items():
        ok, content = cv2.imencode('.hdr', image)
        (tmp_path / f'{name}.HDR').write_bytes(content.tobytes())
        assert ok
    lights = [
        Environment(file, 0.0, False, 1.0, 0.0, 0.0).gain()
        for file in list_panoramas(tmp_path)
    ]
    np.testing.assert_allclose(*lights, rtol=1e-3)


def test_sequences_are_not_photographic(options):
    with pytest.raises(ValueError, match='photographic sequences'):
        GeneratorOptions(options, frames=5)
