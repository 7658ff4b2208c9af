# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""GLB to FBX by Blender, and back. Runs where ``bpy`` is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from script_loader import load_script

from aios.export import ARMATURES, write_glb
from aios.structures import get_joint_set

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / 'tools/blender/import_persons.py'
JOINTS = get_joint_set('smplx_55').names

needs_blender = pytest.mark.skipif(
    importlib.util.find_spec('bpy') is None, reason='needs bpy'
)


def blender(*command: object) -> None:
    """A program of its own, as users run it."""
    subprocess.run([sys.executable, *map(str, command)], check=True)


def to_blender(points: np.ndarray) -> np.ndarray:
    """OpenCV's axes to z up."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


@pytest.mark.slow
@needs_blender
def test_round_trip(dancers, layer, tmp_path) -> None:
    glb, fbx = tmp_path / 'persons.glb', tmp_path / 'fbx' / 'persons.fbx'
    write_glb(dancers, layer, glb, armature='mixamo', tolerance=5e-5)
    blender(SCRIPT, glb, '--fbx', fbx)
    assert [path.name for path in fbx.parent.iterdir()] == [fbx.name]
    blender(HERE / 'read_fbx.py', fbx, tmp_path / 'seen.npz')
    seen = dict(np.load(tmp_path / 'seen.npz'))

    persons = {'person_3', 'person_3_body', 'person_8', 'person_8_body'}
    assert set(seen.pop('names')) == {'persons', 'camera'} | persons
    assert seen.pop('fps') == 25
    lens, width, shift = seen.pop('camera')
    assert lens / width == pytest.approx(1200 / 640)
    assert shift == pytest.approx((230 - 240) * 1200 / 1180 / 640, abs=1e-5)
    # Blender sorts bones by depth.
    names = seen.pop('person_3/bones').tolist()
    order = [names.index(ARMATURES['mixamo'][joint]) for joint in JOINTS]
    assert seen.pop('person_8/bones').tolist() == names
    for frame in range(dancers.num_frames):
        rows = dancers.rows(frame)
        with torch.no_grad():
            body = layer(**dancers.smplx_parameters(rows))
        ids = dancers.person_id[rows].tolist()
        for person, vertices, joints in zip(
            ids, body.vertices.numpy(), body.joints.numpy(), strict=True
        ):
            shown = seen.pop(f'person_{person}_body/{frame}')
            assert np.abs(shown - to_blender(vertices)).max() < 1e-4
            bones = seen.pop(f'person_{person}/{frame}')[order]
            assert np.abs(bones - to_blender(joints[:55])).max() < 1e-4
    for name, points in seen.items():  # those who are absent
        assert np.ptp(points, axis=0).max() < 1e-6, name


def test_without_blender(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, 'bpy', None)
    script = load_script('tools/blender/import_persons.py')
    with pytest.raises(SystemExit, match='pip install bpy'):
        script.main([str(tmp_path), '--fbx', str(tmp_path / 'out.fbx')])
    assert not list(tmp_path.iterdir())
