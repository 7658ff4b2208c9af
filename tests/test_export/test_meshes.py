# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from aios.export import write_meshes, write_ply
from aios.results import SequenceResult, instance_color
from aios.structures import Mesh

BOX = trimesh.creation.box()


def test_ply_comes_back(tmp_path) -> None:
    colors = np.linspace(0, 1, 24).reshape(8, 3)
    mesh = Mesh(BOX.vertices / 3, BOX.faces, colors)
    path = tmp_path / 'new' / 'box.ply'
    write_ply(mesh, path)
    loaded = trimesh.load(path, process=False)
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    shown = loaded.visual.vertex_colors[:, :3]
    np.testing.assert_array_equal(shown, np.round(255 * mesh.colors))
    with pytest.raises(FileExistsError, match=r'box\.ply'):
        write_ply(mesh, path)
    write_ply(dataclasses.replace(mesh, colors=(1, 0, 0)), path, True)
    loaded = trimesh.load(path, process=False)
    assert (loaded.visual.vertex_colors[:, :3] == (255, 0, 0)).all()


def test_empty_ply(tmp_path) -> None:
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    write_ply(empty, tmp_path / 'empty.ply')
    text = (tmp_path / 'empty.ply').read_text()
    assert 'element vertex 0\n' in text
    assert text.endswith('end_header\n')


DOWN = [0, -0.8, -0.6, 1.7]  # floor of a camera that looks down


@pytest.mark.parametrize(
    'kind, axes, floor, turn, tolerance',
    [
        ('obj', 'opencv', DOWN, np.eye(3), 6e-5),
        ('ply', 'opengl', None, np.diag([1, -1, -1]), 1e-6),
        (
            *('ply', 'opengl', DOWN),
            *([[1, 0, 0], [0, -0.8, -0.6], [0, 0.6, -0.8]], 1e-6),
        ),
    ],
)
def test_a_mesh_for_all_persons(
    dancers, layer, tmp_path, kind, axes, floor, turn, tolerance
) -> None:
    dancers = dataclasses.replace(dancers, floor=floor)
    paths = write_meshes(dancers, layer, tmp_path, kind, axes=axes)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    names = [path.name for path in paths]
    assert names[:3] == [
        f'000000_person3.{kind}',
        f'000001_person3.{kind}',
        f'000001_person8.{kind}',
    ]
    with torch.no_grad():
        body = layer(**dancers.smplx_parameters())
    wanted = body.vertices.numpy() @ np.transpose(turn)
    if floor and axes == 'opengl':
        wanted += [0, 1.7, 0]
    for row in (1, 2):
        mesh = trimesh.load(paths[row], process=False)
        np.testing.assert_allclose(mesh.vertices, wanted[row], atol=tolerance)
        np.testing.assert_array_equal(mesh.faces, layer.faces.numpy())
    if kind == 'ply':
        color = mesh.visual.vertex_colors[0, :3]
        assert color.tolist() == list(instance_color(8))


def test_nothing_is_written_where_something_is(
    persons: SequenceResult, layer, tmp_path
) -> None:
    (tmp_path / '000003_person4.obj').write_text('precious')
    with pytest.raises(FileExistsError, match=r'000003_person4\.obj'):
        write_meshes(persons, layer, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    write_meshes(persons, layer, tmp_path, overwrite=True)
    assert len(list(tmp_path.iterdir())) == len(persons)


@pytest.mark.parametrize(
    'names, message',
    [
        (['a', 'b', 'a', 'c'], "frame name 'a' occurs more than once"),
        (['../../a', 'b', 'c', 'd'], 'leads to a file outside'),
        (['/a', 'b', 'c', 'd'], 'leads to a file outside'),
    ],
)
def test_names_of_frames_are_checked(
    persons: SequenceResult, layer, tmp_path, names, message
) -> None:
    renamed = dataclasses.replace(persons, frame_names=np.array(names))
    with pytest.raises(ValueError, match=message):
        write_meshes(renamed, layer, tmp_path / 'in')
    assert not list(tmp_path.iterdir())


def test_unknown_choices(persons: SequenceResult, layer, tmp_path) -> None:
    with pytest.raises(ValueError, match="kind must be one of.*got 'fbx'"):
        write_meshes(persons, layer, tmp_path, 'fbx')
    with pytest.raises(ValueError, match="axes must be one of.*got 'up'"):
        write_meshes(persons, layer, tmp_path, axes='up')
