# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons who walk on a floor, and simulated predictions.

Standing feet do not move at all: paths and steps are drawn first, and the legs
are computed by inverse kinematics of hip, knee and ankle.

Legend: ``T`` frames of a person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from aios.results import FrameResult, SequenceResult, complete_instances

FPS = 30.0
NUM_JOINTS = 144
LEGS = ((1, 4, 7, 10, 62, 60, 61), (2, 5, 8, 11, 65, 63, 64))
SPINE = (3, 6, 9, 12, 15)
# Meters relative to the pelvis: x to the person's left, y up, z forward.
_HIP, _KNEE, _ANKLE = (
    (0.06, -0.09, 0.0),
    (0.1, -0.47, 0.0),
    (0.09, -0.88, -0.02),
)
_FOOT, _HEEL = (0.11, -0.94, 0.1), (0.09, -0.95, -0.07)
_BIG, _SMALL = (0.09, -0.95, 0.18), (0.14, -0.95, 0.14)
SOLE = 0.95  # of the pelvis over the floor when legs are straight
_SPINES = ((0, 0.12, -0.02), (0, 0.25, -0.01), (0, 0.3, 0), (0, 0.51, -0.03),
           (0, 0.6, 0))  # fmt: skip
_ARMS = ((16, 18, 20), (17, 19, 21))
_ARM = ((0.17, 0.45, -0.03), (0.2, 0.2, -0.05), (0.21, -0.04, 0.02))


def rest_joints() -> np.ndarray:
    """``(144, 3)``: fingers and faces are at wrists and head."""
    joints = np.zeros((NUM_JOINTS, 3))
    joints[list(SPINE)] = _SPINES
    joints[[22, 23, 24, *range(55, 60), *range(76, 144)]] = _SPINES[-1]
    sides = zip((1, -1), LEGS, _ARMS, ((25, 40), (40, 55)), strict=True)
    for sign, leg, arm, fingers in sides:
        mirror = np.array([sign, 1, 1])
        joints[list(leg)] = mirror * (
            _HIP, _KNEE, _ANKLE, _FOOT, _HEEL, _BIG, _SMALL
        )  # fmt: skip
        joints[list(arm)] = mirror * _ARM
        joints[13 if sign > 0 else 14] = mirror * (0.07, 0.44, -0.02)
        joints[slice(*fingers)] = joints[arm[2]]
        tips = range(66, 71) if sign > 0 else range(71, 76)
        joints[list(tips)] = joints[arm[2]]
    return joints


def parents() -> np.ndarray:
    """``(144,)`` joint whose rotation moves each joint."""
    parent = np.full(NUM_JOINTS, 15)
    parent[:22] = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14,
                   16, 17, 18, 19]  # fmt: skip
    parent[25:40], parent[40:55] = 20, 21
    parent[66:71], parent[71:76] = 20, 21
    for leg in LEGS:
        parent[list(leg[4:])] = leg[2]
    return parent


REST, PARENT = rest_joints(), parents()
ARM = REST - REST[PARENT]


def pose(root, body, pelvis) -> np.ndarray:
    """Joints ``(T, 144, 3)``.

    Args:
        root: ``(T, 3)`` axis-angle.
        body: ``(T, 21, 3)`` axis-angle.
        pelvis: ``(T, 3)``.
    """
    count = len(root)
    vectors = np.concatenate([root[:, None], body], axis=1)
    turns = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    turns = turns.reshape(count, 22, 3, 3)
    joints = np.zeros((count, NUM_JOINTS, 3))
    joints[:, 0] = pelvis
    for joint in range(1, 22):
        up = PARENT[joint]
        joints[:, joint] = joints[:, up] + turns[:, up] @ ARM[joint]
        turns[:, joint] = turns[:, up] @ turns[:, joint]
    up = PARENT[22:]
    arms = np.einsum('tjab,jb->tja', turns[:, up], ARM[22:])
    joints[:, 22:] = joints[:, up] + arms
    return joints


@dataclass
class Walk:
    """A person in a world with y up whose floor is y = 0.

    Attributes:
        root: ``(T, 3)`` axis-angle.
        body: ``(T, 21, 3)`` axis-angle.
        pelvis: ``(T, 3)`` meters.
        stands: ``(T, 2)`` whether the feet stand, left and right.
    """

    root: np.ndarray
    body: np.ndarray
    pelvis: np.ndarray
    stands: np.ndarray

    @property
    def joints(self) -> np.ndarray:
        return pose(self.root, self.body, self.pelvis)


def walk(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    frames: int,
    turning: float = 0.0,
    speed: float = 0.9,
) -> Walk:
    """A person who walks along an arc.

    Args:
        rng: Draws the gait.
        start: x and z at the beginning.
        heading: Radians, 0 towards +z.
        frames: ``T``.
        turning: Radians per second.
        speed: Meters per second.
    """
    time = np.arange(frames) / FPS
    angle = heading + turning * time
    forward = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    path = np.cumsum(forward, 0) * speed / FPS + [start[0], 0, start[1]]
    left = np.stack([forward[:, 2], 0 * angle, -forward[:, 0]], axis=1)
    period = 0.9 / speed**0.5
    phase = time / period + rng.uniform()
    pelvis = path + [0, SOLE - 0.085, 0]
    pelvis[:, 1] += 0.012 * np.cos(4 * np.pi * phase)
    yaw = Rotation.from_euler('y', angle[:, None])
    body = 0.02 * np.sin(
        2 * np.pi * (phase[:, None, None] + rng.uniform(size=(21, 3)))
    )
    stands = np.zeros((frames, 2), bool)
    for side, leg in enumerate(LEGS):
        local = phase + side / 2
        sole, stands[:, side], pitch = _steps(local, path, left, angle, side)
        foot = Rotation.from_euler('y', sole[1][:, None])
        foot = foot * Rotation.from_euler('x', pitch[:, None])
        ball = [(0.1 if side == 0 else -0.1), -0.95, 0.14]
        ankle = sole[0] - foot.apply(ball - REST[leg[2]])
        hip = pelvis + yaw.apply(REST[leg[0]])
        _bend(body, yaw, foot, leg, ankle - hip)
        swing = 0.35 * np.cos(2 * np.pi * local)
        body[:, _ARMS[side][0] - 1, 0] += swing
    return Walk(yaw.as_rotvec(), body, pelvis, stands)


def _steps(phase, path, left, angle, side):
    """Balls of the feet, headings, whether they stand, and pitches."""
    step, share = np.divmod(phase, 1.0)
    duty = 0.6
    stands = share < duty
    aside = (0.1 if side == 0 else -0.1) * left
    place = np.arange(len(phase))
    # A foot stands where the body is in the middle of its stance.
    wanted = step[:, None] + duty / 2 + np.array([0, 1])
    index = np.interp(wanted, phase, place)
    speed = (len(phase) - 1) / (phase[-1] - phase[0])
    low = np.minimum(wanted - phase[0], 0) * speed
    high = np.maximum(wanted - phase[-1], 0) * speed
    index = index + low + high
    spots, headings = [], []
    for column in index.T:
        spots.append(_at(path + aside, column))
        headings.append(_at(angle[:, None], column)[:, 0])
    swing = np.clip((share - duty) / (1 - duty), 0, 1)
    ease = swing * swing * (3 - 2 * swing)
    ball = spots[0] + ease[:, None] * (spots[1] - spots[0])
    ball[:, 1] = 0.06 * np.sin(np.pi * swing) ** 2
    heading = headings[0] + ease * (headings[1] - headings[0])
    # The heel rises before the toes do, and comes down first.
    off = np.clip((share - duty + 0.15) / 0.15, 0, 1)
    pitch = np.where(stands, 0.45 * off**2, 0.45 * np.cos(np.pi * swing / 2))
    pitch = np.where(swing > 0, 0.45 * (1 - ease), pitch)
    return (ball, heading), stands, pitch


def _at(values, places):
    """Rows at places between and beyond, straight on."""
    rows = np.arange(len(values))
    out = []
    for column in values.T:
        inside = np.interp(places, rows, column)
        before = np.minimum(places, 0) * (column[1] - column[0])
        after = np.maximum(places - rows[-1], 0) * (column[-1] - column[-2])
        out.append(inside + before + after)
    return np.stack(out, axis=1)


def _bend(body, yaw, foot, leg, line) -> None:
    """Hip, knee and ankle of a leg whose ankle is at ``line`` of its hip."""
    upper = np.linalg.norm(REST[leg[1]] - REST[leg[0]])
    lower = np.linalg.norm(REST[leg[2]] - REST[leg[1]])
    length = np.linalg.norm(line, axis=1)
    assert (length < upper + lower).all(), (
        length.max(),
        upper + lower,
        length.argmax(),
    )
    down = line / length[:, None]
    front = yaw.apply([0, 0, 1])
    front = front - down * (down * front).sum(1, keepdims=True)
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    height = np.sqrt(upper**2 - along**2)
    knee = along[:, None] * down + height[:, None] * front
    thigh = _frames(knee, front)
    shin = _frames(line - knee, front)
    rest = REST[list(leg[:3])]
    forward = np.array([[0.0, 0, 1]])
    thigh = thigh * _frames((rest[1] - rest[0])[None], forward).inv()
    shin = shin * _frames((rest[2] - rest[1])[None], forward).inv()
    for joint, parent, turn in zip(
        leg[:3], (yaw, thigh, shin), (thigh, shin, foot), strict=True
    ):
        body[:, joint - 1] = (parent.inv() * turn).as_rotvec()


def _frames(bone, front) -> Rotation:
    """Rotations whose -y is along a bone and whose z is to the front."""
    y = -bone / np.linalg.norm(bone, axis=1, keepdims=True)
    x = np.cross(y, front)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))


@dataclass
class Noise:
    """Standard deviations of the simulated prediction errors.

    Attributes:
        jitter: Of each rotation in each frame, radians.
        sway: The same, slowly, over half a second.
        across: Of the pelvis across the ray, share of its depth.
        depth: Of the depth in each frame, share of it.
        drift: Of the depth over seconds, share of it.
    """

    jitter: float = 0.015
    sway: float = 0.03
    across: float = 0.003
    depth: float = 0.01
    drift: float = 0.03


def _slow(rng, shape, seconds) -> np.ndarray:
    """Unit noise that changes over seconds."""
    sigma = seconds * FPS
    pad = int(4 * sigma) + 1
    white = rng.normal(size=(shape[0] + 2 * pad, *shape[1:]))
    smooth = gaussian_filter1d(white, sigma, axis=0, mode='constant')
    gain = np.sqrt(2 * np.sqrt(np.pi) * sigma)
    return smooth[pad : pad + shape[0]] * gain


@dataclass
class View:
    """A camera over the floor.

    Attributes:
        pitch: Degrees, negative looks down.
        height: Meters.
        roll: Degrees.
    """

    pitch: float
    height: float
    roll: float = 0.0

    @property
    def turn(self) -> Rotation:
        """World (y up, z forward) to camera axes."""
        flip = Rotation.from_matrix(np.diag([-1.0, -1, 1]))
        angles = [self.roll, -self.pitch]
        return Rotation.from_euler('zx', angles, degrees=True) * flip

    @property
    def floor(self) -> np.ndarray:
        """``(4,)`` true up and height."""
        return np.append(self.turn.apply([0, 1, 0]), self.height)

    def see(self, person: Walk) -> Walk:
        """The person in camera axes."""
        pelvis = self.turn.apply(person.pelvis - [0, self.height, 0])
        root = self.turn * Rotation.from_rotvec(person.root)
        return Walk(root.as_rotvec(), person.body, pelvis, person.stands)


def predicted(rng: np.random.Generator, person: Walk, noise: Noise) -> Walk:
    """Simulated predictions of a person, in camera axes."""
    count = len(person.root)

    def shaken(vectors):
        shape = vectors.shape
        off = noise.jitter * rng.normal(size=shape)
        off += noise.sway * _slow(rng, shape, 0.5)
        turn = Rotation.from_rotvec(off.reshape(-1, 3))
        return (
            (Rotation.from_rotvec(vectors.reshape(-1, 3)) * turn)
            .as_rotvec()
            .reshape(shape)
        )

    depth = np.linalg.norm(person.pelvis, axis=1, keepdims=True)
    across = noise.across * depth * rng.normal(size=(count, 3))
    ray = person.pelvis / depth
    across -= ray * (across * ray).sum(1, keepdims=True)
    share = noise.depth * rng.normal(size=(count, 1))
    share = share + noise.drift * _slow(rng, (count, 1), 1.0)
    pelvis = (person.pelvis + across) * (1 + share)
    return Walk(
        shaken(person.root), shaken(person.body), pelvis, person.stands
    )


K = np.array([[1000.0, 0, 640], [0, 1000, 480], [0, 0, 1]])
SIZE = (1280, 960)


def as_results(persons: list[Walk]) -> SequenceResult:
    """Results of persons in camera axes, all in all frames."""
    joints = np.stack([person.joints for person in persons], axis=1)
    frames = []
    for t, found in enumerate(joints):
        pixels = found @ K.T
        frames.append(
            FrameResult(
                f'{t:06d}',
                t,
                t / FPS,
                K,
                SIZE,
                complete_instances(
                    transl=found[:, 0],
                    global_orient=np.stack([p.root[t] for p in persons]),
                    body_pose=np.stack([p.body[t].ravel() for p in persons]),
                    joints3d=found,
                    joints2d=pixels[..., :2] / pixels[..., 2:],
                ),
            )
        )
    return SequenceResult.from_frames(frames, fps=FPS)


def crowd(
    seed: int, view: View, count: int = 3, frames: int = 300
) -> list[Walk]:
    """Persons who walk in circles in front of a camera, in its axes."""
    rng = np.random.default_rng(seed)
    persons = []
    for _ in range(count):
        start = rng.uniform(-1.5, 1.5), rng.uniform(5, 8)
        turning = rng.choice([-1, 1]) * rng.uniform(0.4, 0.7)
        speed = rng.uniform(0.7, 1.0)
        heading = rng.uniform(0, 2 * np.pi)
        persons.append(
            view.see(walk(rng, start, heading, frames, turning, speed))
        )
    return persons
