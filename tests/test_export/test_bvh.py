# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from aios.export import EXPORTERS, write_bvh
from aios.results import SequenceResult
from aios.structures import get_joint_set

FLIP = np.array([1, -1, -1])  # OpenCV's axes to y up


@dataclass
class Joint:
    name: str
    parent: int
    offset: np.ndarray | None = None
    channels: list[str] = field(default_factory=list)


def read_bvh(path: Path) -> tuple[list[Joint], np.ndarray, float]:
    """Joints in the order of the file, values per frame, frame time."""
    head, motion = path.read_text().split('MOTION\n')
    joints: list[Joint] = []
    stack: list[int | None] = []
    entering: int | None = None
    for line in head.splitlines():
        word, *rest = line.split()
        if word in ('ROOT', 'JOINT'):
            parent = next((j for j in reversed(stack) if j is not None), -1)
            entering = len(joints)
            joints.append(Joint(rest[0], parent))
        elif word == 'End':
            entering = None
        elif word == '{':
            stack.append(entering)
        elif word == '}':
            stack.pop()
        elif stack and stack[-1] is not None:
            joint = joints[stack[-1]]
            if word == 'OFFSET':
                joint.offset = np.array(rest, float)
            elif word == 'CHANNELS':
                assert int(rest[0]) == len(rest) - 1
                joint.channels = rest[1:]
    assert not stack
    lines = motion.splitlines()
    count = int(lines[0].removeprefix('Frames: '))
    step = float(lines[1].removeprefix('Frame Time: '))
    values = np.array([line.split() for line in lines[2:]], float)
    assert values.shape == (count, sum(len(j.channels) for j in joints))
    return joints, values, step


def positions(joints: list[Joint], values: np.ndarray) -> dict:
    """Position of each joint in a frame, by name."""
    turned: list[Rotation] = []
    placed: list[np.ndarray] = []
    channels = iter(values)
    for joint in joints:
        offset, rotation = joint.offset.copy(), Rotation.identity()
        for channel in joint.channels:
            value = next(channels)
            axis = channel[0]
            if channel.endswith('position'):
                offset['XYZ'.index(axis)] += value
            else:
                turn = Rotation.from_euler(axis, value, degrees=True)
                rotation = rotation * turn
        if joint.parent >= 0:
            parent = joint.parent
            offset = placed[parent] + turned[parent].apply(offset)
            rotation = turned[parent] * rotation
        turned.append(rotation)
        placed.append(offset)
    return {j.name: p for j, p in zip(joints, placed, strict=True)}


def joints_of(persons: SequenceResult, layer, rows) -> np.ndarray:
    """Joints ``(n, 55, 3)``, y up; the skeleton of the mean expression."""
    parameters = persons.smplx_parameters(rows)
    parameters['expression'] *= 0
    with torch.no_grad():
        body = layer(**parameters, joint_set='smplx_55')
    return body.joints.numpy() * FLIP


@pytest.mark.parametrize('scale', [1, 100])
def test_joints_are_those_of_the_body_model(
    dancers, layer, tmp_path, scale
) -> None:
    path = tmp_path / 'one.bvh'
    assert write_bvh(dancers, layer, path, 3, scale=scale) == 1
    joints, values, step = read_bvh(path)
    assert len(values) == 9
    assert step == pytest.approx(1 / 25)
    names = get_joint_set('smplx_55').names
    assert sorted(joint.name for joint in joints) == sorted(names)
    rows = np.flatnonzero(dancers.person_id == 3)
    wanted = joints_of(dancers, layer, rows)
    for row, frame in enumerate(dancers.frame_index[rows]):
        found = positions(joints, values[frame])
        for name, point in zip(names, wanted[row], strict=True):
            error = np.linalg.norm(found[name] / scale - point)
            assert error < 1e-3, (frame, name)


def test_the_floor_is_at_zero(dancers, layer, tmp_path) -> None:
    """The camera is 1.7 m above it and looks down by 30 degrees."""
    up = np.array([0, -np.cos(np.pi / 6), -0.5])
    path = tmp_path / 'one.bvh'
    write_bvh(
        replace(dancers, floor=np.append(up, 1.7)), layer, path, 3, scale=10
    )
    joints, values, _ = read_bvh(path)
    rows = np.flatnonzero(dancers.person_id == 3)
    seen = joints_of(dancers, layer, rows) * FLIP
    heights = seen @ up + 1.7
    for row, frame in enumerate(dancers.frame_index[rows]):
        found = positions(joints, values[frame])
        for number, name in enumerate(get_joint_set('smplx_55').names):
            assert found[name][1] / 10 == pytest.approx(
                heights[row, number], abs=1e-3
            )
    right = [positions(joints, v)['pelvis'][0] / 10 for v in values]
    np.testing.assert_allclose(
        np.array(right)[dancers.frame_index[rows]], seen[:, 0, 0], atol=1e-3
    )


def test_persons_who_come_later(dancers, layer, tmp_path) -> None:
    """The file of person 8 begins with the second frame."""
    exporter = EXPORTERS['bvh']
    paths, remarks = exporter.export(dancers, layer, tmp_path / '{person}.bvh')
    assert [path.name for path in paths] == ['3.bvh', '8.bvh']
    assert remarks == [
        '3.bvh: 1 missing frames are interpolated',
        '8.bvh: begins with frame 1 of the results, 0.040 s later than the '
        'first; 2 missing frames are interpolated',
    ]


def test_frame_time_after_hours(dancers, layer, tmp_path) -> None:
    """Steps do not depend on what a float32 tells apart there."""
    numbers = np.append(dancers.source_frames[:-1], 599_999)
    path = tmp_path / 'late.bvh'
    late = replace(dancers, source_frames=numbers, timestamps=numbers / 30)
    write_bvh(late, layer, path, 8)
    assert read_bvh(path)[2] == pytest.approx(1 / 30, abs=1e-8)


def test_angles_do_not_jump(persons: SequenceResult, layer, tmp_path) -> None:
    """Somebody turns around the vertical axis, three times."""
    angles = np.linspace(0, 6 * np.pi, 60)
    frame = persons.frame(0).select([0])
    upright = Rotation.from_rotvec([np.pi, 0, 0])
    frames = [
        frame.with_fields(
            global_orient=(upright * Rotation.from_rotvec([0, angle, 0]))
            .as_rotvec()[None]
            .astype(np.float32)
        )
        for angle in angles
    ]
    turning = SequenceResult.from_frames(frames, fps=30)
    write_bvh(turning, layer, tmp_path / 'turn.bvh', 4)
    _, values, step = read_bvh(tmp_path / 'turn.bvh')
    assert np.abs(np.diff(values[:, 3:6], axis=0)).max() < 30
    assert step == pytest.approx(1 / 30)


def test_knees_bend_through_a_right_angle(persons, layer, tmp_path) -> None:
    """Programs that interpolate between frames must not turn the shin."""
    frame = persons.frame(0).select([0])
    bends, frames = np.linspace(0, 150, 7), []
    for bend in bends:
        pose = np.zeros((1, 63), np.float32)
        pose[0, 9:12] = np.radians([bend, 2, 3])  # left knee
        frames.append(frame.with_fields(body_pose=pose))
    bent = SequenceResult.from_frames(frames, fps=30)
    write_bvh(bent, layer, tmp_path / 'bent.bvh', 4)
    joints, values, _ = read_bvh(tmp_path / 'bent.bvh')
    knee = [joint.name for joint in joints].index('left_knee')
    angles = values[:, 3 + 3 * knee : 6 + 3 * knee]
    np.testing.assert_allclose(angles[:, 1], bends, atol=2)
    assert np.abs(angles[:, [0, 2]]).max() < 15
    write_bvh(bent.select_frames([5, 6]), layer, tmp_path / 'late.bvh', 4)
    late = read_bvh(tmp_path / 'late.bvh')[1]
    np.testing.assert_allclose(late[0, 3:], values[5, 3:])


def test_refusals(persons: SequenceResult, layer, tmp_path) -> None:
    path = tmp_path / 'one.bvh'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match=r'one\.bvh'):
        write_bvh(persons, layer, path, 4)
    with pytest.raises(ValueError, match=r'no person with id 5.*\[4, 7\]'):
        write_bvh(persons, layer, path, 5, overwrite=True)
    with pytest.raises(ValueError, match='scale must be positive'):
        write_bvh(persons, layer, path, 4, scale=0, overwrite=True)
    with pytest.raises(ValueError, match='scale must be .* finite'):
        write_bvh(persons, layer, path, 4, scale=np.inf, overwrite=True)
    with pytest.raises(ValueError, match='fps must be .* finite'):
        write_bvh(persons, layer, path, 4, fps=np.inf, overwrite=True)
    assert path.read_text() == 'precious'
