# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gltf_evaluator import GLBViewer

from aios.body_models import SMPLXLayer
from aios.export import write_glb
from aios.results import SequenceResult, instance_color
from aios.structures import get_joint_set

FLIP = np.array([1, -1, -1])  # OpenCV's axes to glTF's


def forward(persons: SequenceResult, layer: SMPLXLayer, frame: int) -> dict:
    """Vertices of a frame's persons by mesh node, in glTF's axes."""
    rows = persons.rows(frame)
    with torch.no_grad():
        body = layer(**persons.smplx_parameters(rows))
    names = [f'person_{i}_body' for i in persons.person_id[rows]]
    return dict(zip(names, body.vertices.numpy() * FLIP, strict=True))


def largest_error(path: Path, persons: SequenceResult, layer) -> float:
    """In meters over all frames; absent persons must have no size."""
    viewer, times = GLBViewer(path), persons.times()
    errors = []
    for frame in range(persons.num_frames):
        shown = viewer.vertices(float(times[frame]))
        wanted = forward(persons, layer, frame)
        for name, vertices in shown.items():
            if name in wanted:
                distance = np.linalg.norm(vertices - wanted.pop(name), axis=1)
                errors.append(distance.max())
            else:
                assert np.ptp(vertices, axis=0).max() < 1e-6, (frame, name)
        assert not wanted
    return max(errors)


@pytest.fixture(scope='module')
def glb(dancers, layer, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('glb') / 'persons.glb'
    write_glb(dancers, layer, path, tolerance=5e-5)
    return path


def test_vertices_are_those_of_the_body_model(glb, dancers, layer) -> None:
    assert largest_error(glb, dancers, layer) < 1e-4


def test_a_millimeter_is_enough_by_default(
    glb, dancers, layer, tmp_path
) -> None:
    path = tmp_path / 'persons.glb'
    summary = write_glb(dancers, layer, path)
    assert largest_error(path, dancers, layer) < 1.01e-3
    assert summary.max_error < 1.01e-3
    assert summary.num_bytes < glb.stat().st_size


def test_summary_tells_the_error_of_plain_skinning(
    dancers, layer, tmp_path
) -> None:
    path = tmp_path / 'plain.glb'
    summary = write_glb(dancers, layer, path, correctives='none')
    error = largest_error(path, dancers, layer)
    assert error == pytest.approx(summary.max_error, abs=1e-5)
    assert 1e-3 < error < 0.05
    assert summary.num_correctives == {}
    assert summary.num_bytes == path.stat().st_size


def test_shapes_that_change_are_animated(dancers, layer, tmp_path) -> None:
    rng = np.random.default_rng(0)
    betas = dancers.betas + 0.5 * rng.normal(size=dancers.betas.shape)
    changing = dataclasses.replace(dancers, betas=betas)
    path = tmp_path / 'persons.glb'
    summary = write_glb(changing, layer, path, tolerance=5e-5)
    assert largest_error(path, changing, layer) < 1e-4
    assert summary.max_error < 1e-4
    names = GLBViewer(path).gltf.meshes[0].extras['targetNames']
    assert names[:2] == ['shape_0', 'shape_1']


def test_expression_shapes(glb) -> None:
    viewer = GLBViewer(glb)
    for mesh in viewer.gltf.meshes:
        names = mesh.extras['targetNames']
        assert names[:10] == [f'expression_{i}' for i in range(10)]
        assert len(names) == len(mesh.weights)
        assert len(names) == len(mesh.primitives[0].targets)
    first, second = (m.primitives[0] for m in viewer.gltf.meshes)
    assert first.targets[:10] == second.targets[:10]  # stored once
    assert first.attributes.POSITION != second.attributes.POSITION


def test_nodes_have_the_names_of_smplx(glb, dancers) -> None:
    gltf = GLBViewer(glb).gltf
    assert len(gltf.skins) == len(dancers.person_ids)
    for skin in gltf.skins:
        names = [gltf.nodes[joint].name for joint in skin.joints]
        assert names == list(get_joint_set('smplx_55').names)
    (world, *_) = gltf.scenes[0].nodes
    persons = [gltf.nodes[i] for i in gltf.nodes[world].children]
    assert [node.name for node in persons] == ['person_3', 'person_8']
    assert persons[1].extras['person_id'] == 8
    np.testing.assert_allclose(
        persons[1].extras['betas'], dancers.betas[2], atol=1e-6
    )
    assert gltf.scenes[0].extras['fps'] == dancers.fps


def test_the_source_may_begin_earlier(dancers, layer, tmp_path) -> None:
    """As with --start 100 --frame-interval 3."""
    numbers = 100 + 3 * dancers.source_frames
    part = replace(
        dancers, source_frames=numbers, timestamps=numbers / 30, fps=10.0
    )
    write_glb(part, layer, tmp_path / 'part.glb', correctives='none')
    extras = GLBViewer(tmp_path / 'part.glb').gltf.scenes[0].extras
    assert (extras['source_first_frame'], extras['source_fps']) == (100, 30)
    images = replace(dancers, timestamps=0 * dancers.timestamps, fps=0.0)
    write_glb(images, layer, tmp_path / 'images.glb', correctives='none')
    extras = GLBViewer(tmp_path / 'images.glb').gltf.scenes[0].extras
    assert 'source_fps' not in extras


def test_all_persons_has_a_color(glb) -> None:
    gltf = GLBViewer(glb).gltf
    for material, person_id in zip(gltf.materials, (3, 8), strict=True):
        color = material.pbrMetallicRoughness.baseColorFactor[:3]
        shown = np.array(color) ** (1 / 2.2) * 255
        np.testing.assert_allclose(shown, instance_color(person_id), atol=1)


@pytest.mark.parametrize('floor', [None, [0, -0.8, -0.6, 1.7]])
def test_camera_and_floor(dancers, layer, tmp_path, floor) -> None:
    """The file's camera projects the mesh to the pixels of K."""
    dancers = replace(dancers.select_frames(slice(4)), floor=floor)
    write_glb(dancers, layer, tmp_path / 'persons.glb', tolerance=5e-5)
    viewer = GLBViewer(tmp_path / 'persons.glb')
    camera = viewer.gltf.cameras[0].perspective
    frame = 2
    world = viewer.world_matrices(viewer.tracks(0.0))
    node = next(
        i for i, n in enumerate(viewer.gltf.nodes) if n.camera is not None
    )
    shown = viewer.vertices(float(dancers.times()[frame]))['person_3_body']
    points = (shown - world[node][:3, 3]) @ world[node][:3, :3]
    seen = forward(dancers, layer, frame)['person_3_body']
    np.testing.assert_allclose(points, seen, atol=1e-4)
    if floor is None:
        np.testing.assert_array_equal(world[node], np.eye(4))
    else:
        heights = points * FLIP @ floor[:3] + floor[3]
        np.testing.assert_allclose(shown[:, 1], heights, atol=1e-6)
    width, height = dancers.image_sizes[frame]
    tangent = np.tan(camera.yfov / 2)
    x = points[:, 0] / -points[:, 2] / (tangent * camera.aspectRatio)
    y = points[:, 1] / -points[:, 2] / tangent
    pixels = np.stack([(x + 1) / 2 * width, (1 - y) / 2 * height], axis=1)
    vertices = points * FLIP
    wanted = vertices @ dancers.K[frame].T
    wanted = wanted[:, :2] / wanted[:, 2:]
    offset = dancers.K[frame][:2, 2] - dancers.image_sizes[frame] / 2
    np.testing.assert_allclose(pixels + offset, wanted, atol=0.05)
    assert camera.znear < -points[:, 2].max()


def test_another_library_opens_it(glb, dancers, layer) -> None:
    scene = trimesh.load(glb, file_type='glb')
    assert len(scene.geometry) == len(dancers.person_ids)
    for mesh in scene.geometry.values():
        assert mesh.vertices.shape == tuple(layer.v_template.shape)
        np.testing.assert_array_equal(mesh.faces, layer.faces.numpy())


def test_time_runs_at_the_rate_of_the_source(glb, dancers) -> None:
    viewer = GLBViewer(glb)
    ends = [
        viewer.array(sampler.input)[-1]
        for sampler in viewer.gltf.animations[0].samplers
    ]
    assert max(ends) == pytest.approx((dancers.num_frames - 1) / dancers.fps)
    extras = viewer.gltf.scenes[0].extras
    assert extras['duration'] == pytest.approx(max(ends))
    assert dancers.times()[0] == 0
    still = dataclasses.replace(
        dancers, timestamps=0 * dancers.timestamps, fps=0
    )
    assert still.times()[:3].tolist() == [0, 1, 2]
    assert still.times(fps=2)[:3].tolist() == [0, 0.5, 1]


def test_file_without_persons(persons, layer, tmp_path) -> None:
    nobody = persons.select(np.zeros(len(persons), bool))
    summary = write_glb(nobody, layer, tmp_path / 'nobody.glb')
    gltf = GLBViewer(tmp_path / 'nobody.glb').gltf
    assert [n.name for n in gltf.nodes] == ['persons', 'camera']
    assert not gltf.meshes
    assert summary.max_error == 0
    nothing = SequenceResult.from_frames([])
    write_glb(nothing, layer, tmp_path / 'nothing.glb')
    assert len(GLBViewer(tmp_path / 'nothing.glb').gltf.nodes) == 1


def test_refusals(persons, layer, tmp_path) -> None:
    path = tmp_path / 'persons.glb'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match=r'persons\.glb'):
        write_glb(persons, layer, path)
    assert path.read_text() == 'precious'
    for arguments, message in (
        ({'correctives': 'some'}, "one of .*'exact', 'none'.*got 'some'"),
        ({'tolerance': 0}, 'tolerance must be'),
        ({'fps': 0}, 'fps must be positive'),
    ):
        with pytest.raises(ValueError, match=message):
            write_glb(persons, layer, path, overwrite=True, **arguments)
    assert path.read_text() == 'precious'
    flat = SMPLXLayer('free', flat_hand_mean=True)
    with pytest.raises(ValueError, match='flat_hand_mean=False'):
        write_glb(persons, flat, path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ['persons.glb']
