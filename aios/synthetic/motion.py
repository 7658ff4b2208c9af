# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Motions of persons: walk cycles, waving, squatting, changes of gesture.

A motion is a function from time to a pose.  The position of a person follows
from the feet: the lower foot stays fixed on the floor, which avoids foot
sliding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from aios.synthetic.joint_limits import BODY_JOINT_NAMES, clip_body_pose
from aios.synthetic.pose_vocabulary import ARMS, GESTURES, Leg
from aios.synthetic.poses import (
    PoseSample,
    apply_arm,
    apply_leg,
    pose_from_names,
)

_SOLES = [60, 62, 63, 65]  # big toe and heel of both feet
_LEG_ROWS = [
    i
    for i, name in enumerate(BODY_JOINT_NAMES)
    if name.split('_')[-1] in ('hip', 'knee', 'ankle', 'foot')
]
_BLEND = (
    'root',
    'body_pose',
    'left_hand_pose',
    'right_hand_pose',
    'jaw_pose',
    'leye_pose',
    'reye_pose',
)


@dataclass(frozen=True)
class Motion:
    """Pose of a person over time.

    Attributes:
        name: Key of :data:`MOTIONS`.
        pose: Pose at a time in seconds.
        turn_rate: Change of heading, radians per second.
        stance: Stance foot at a time (0 left, 1 right); ``None``: the lower
            one.
    """

    name: str
    pose: Callable[[float], PoseSample]
    turn_rate: float = 0.0
    stance: Callable[[float], int] | None = None


def blend_poses(
    first: PoseSample, second: PoseSample, share: float
) -> PoseSample:
    """Interpolates two poses; joint limits hold since they are convex.

    Args:
        first: Pose at ``share`` 0.
        second: Pose at ``share`` 1.
        share: 0 to 1.

    Returns:
        The interpolated pose, with the names of the nearer one.
    """
    mixed = {
        key: (1 - share) * getattr(first, key) + share * getattr(second, key)
        for key in _BLEND
    }
    return replace(first if share < 0.5 else second, **mixed)


def _smooth_step(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _bump(phase: float, center: float, width: float) -> float:
    """Periodic bell curve of the gait phase."""
    distance = (phase - center + np.pi) % (2 * np.pi) - np.pi
    return float(np.exp(-((distance / width) ** 2)))


def _leg_angles(phase: float, stride: float) -> tuple[float, float, float]:
    """Thigh pitch, knee flexion and ankle extension of a walking leg.

    Phase 0 is the heel strike; stance lasts to ``pi``, swing to ``2 pi``.
    """
    thigh = 0.05 + stride * np.cos(phase)
    knee = (
        0.08
        + 2.3 * stride * _bump(phase, 1.3 * np.pi, 0.85)
        + 0.3 * stride * _bump(phase, 0.3 * np.pi, 0.6)
    )
    level = np.clip(thigh - knee, -0.3, 0.25)
    ankle = level + 0.2 * _bump(phase, np.pi, 0.4)
    return float(thigh), float(knee), float(ankle)


def _walk(rng: np.random.Generator) -> Motion:
    base = pose_from_names(rng, 'stand', 'relaxed')
    stride, period = rng.uniform(0.28, 0.45), rng.uniform(0.95, 1.25)
    start = rng.uniform(0, 2 * np.pi)
    arm = replace(ARMS['hang'], abduct=rng.uniform(0.14, 0.25))

    def pose(time: float) -> PoseSample:
        phase = start + 2 * np.pi * time / period
        body = base.body_pose.copy()
        for side, shift in (('left', 0.0), ('right', np.pi)):
            thigh, knee, ankle = _leg_angles(phase + shift, stride)
            leg = Leg(thigh, knee, 0.04, 0.1, base.root[0], ankle)
            apply_leg(body, leg, side)
            swing = -1.1 * stride * np.cos(phase + shift)
            apply_arm(
                body,
                replace(arm, flex=swing, bend=0.3 + max(0.0, 0.6 * swing)),
                side,
            )
        twist = 0.12 * stride * np.cos(phase)
        for name in ('spine_1', 'spine_2'):
            body[BODY_JOINT_NAMES.index(name), 1] += twist
        return replace(
            base,
            body_pose=clip_body_pose(body),
            posture='walk',
            gesture='swing',
        )

    def stance(time: float) -> int:
        phase = start + 2 * np.pi * time / period
        return int(phase % (2 * np.pi) >= np.pi)

    return Motion('walk', pose, float(rng.normal(0, 0.12)), stance)


def _on_same_legs(pose: PoseSample, legs: PoseSample) -> PoseSample:
    body = pose.body_pose.copy()
    body[_LEG_ROWS] = legs.body_pose[_LEG_ROWS]
    return replace(pose, body_pose=body, root=legs.root)


def _through(
    keys: Sequence[PoseSample], hold: float, move: float
) -> Callable[[float], PoseSample]:
    """Moves smoothly through key poses and back."""
    loop = [*keys, *keys[-2:0:-1]]

    def pose(time: float) -> PoseSample:
        step, rest = divmod(time, hold + move)
        share = _smooth_step((rest - hold) / move)
        index = int(step) % len(loop)
        return blend_poses(loop[index], loop[(index + 1) % len(loop)], share)

    return pose


def _gesture(rng: np.random.Generator) -> Motion:
    legs = pose_from_names(
        rng, str(rng.choice(['stand', 'wide', 'step'])), 'relaxed'
    )
    names = [n for n, g in GESTURES.items() if not g.postures]
    keys = [legs] + [
        _on_same_legs(
            pose_from_names(rng, 'stand', str(rng.choice(names))), legs
        )
        for _ in range(3)
    ]
    return Motion(
        'gesture', _through(keys, rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.1))
    )


def _wave(rng: np.random.Generator) -> Motion:
    base = pose_from_names(rng, 'stand', 'relaxed')
    side = str(rng.choice(['left', 'right']))
    rate, width = rng.uniform(1.0, 1.9), rng.uniform(0.2, 0.4)
    arm = replace(ARMS['wave'], abduct=rng.uniform(1.0, 1.4))

    def pose(time: float) -> PoseSample:
        swing = width * np.sin(2 * np.pi * rate * time)
        body = base.body_pose.copy()
        apply_arm(
            body,
            replace(arm, bend=arm.bend + swing, twist=arm.twist + 0.5 * swing),
            side,
        )
        return replace(base, body_pose=clip_body_pose(body), gesture='wave')

    return Motion('wave', pose)


def _squat(rng: np.random.Generator) -> Motion:
    low = pose_from_names(rng, 'half_squat', 'relaxed')
    high = pose_from_names(rng, 'wide', 'relaxed')
    return Motion('squat', _through([high, low], 0.2, rng.uniform(0.7, 1.1)))


MOTIONS: dict[str, tuple[float, Callable[..., Motion]]] = {
    'walk': (3.0, _walk),
    'gesture': (2.0, _gesture),
    'wave': (1.0, _wave),
    'squat': (0.6, _squat),
}


def sample_motion(rng: np.random.Generator, name: str | None = None) -> Motion:
    """Draws a motion.

    Args:
        rng: Random generator.
        name: Key of :data:`MOTIONS`; ``None`` draws one.

    Returns:
        The motion.

    Raises:
        KeyError: If the name is unknown.
    """
    if name is None:
        weights = np.array([weight for weight, _ in MOTIONS.values()])
        name = list(MOTIONS)[
            rng.choice(len(weights), p=weights / weights.sum())
        ]
    return MOTIONS[name][1](rng)


def foot_locked_path(
    joints: np.ndarray, stance: np.ndarray | None = None
) -> np.ndarray:
    """Path of the pelvis that keeps the lowest point of the feet in place.

    Args:
        joints: ``(T, 144, 3)`` per frame, heading applied, pelvis anywhere.
        stance: ``(T,)`` stance foot, 0 left, 1 right; default: the lower
            one.

    Returns:
        ``(T, 2)`` x and z of the pelvis relative to the first frame, meters.
    """
    soles = joints[:, _SOLES]
    relative = (soles - joints[:, :1])[..., [0, 2]]
    height = soles[..., 1].copy()
    if stance is not None:
        height += 10.0 * (np.array([0, 0, 1, 1]) != stance[:, None])
    points = height.argmin(1)
    steps = np.zeros((len(joints), 2))
    for t in range(1, len(joints)):
        point = points[t]
        steps[t] = relative[t - 1, point] - relative[t, point]
    # Smooth the change of the stance foot.
    steps[1:] = uniform_filter1d(steps[1:], 3, axis=0, mode='nearest')
    return np.cumsum(steps, 0)
