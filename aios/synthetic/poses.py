# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Random whole-body poses: a posture, a gesture, hands, face, variation.

All poses are written for the SMPL-X rest pose (T-pose, ``y`` up, facing
``+z``) and stay inside :func:`aios.synthetic.joint_limits.body_joint_limits`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import SMPLX_ROTATIONS_53
from aios.synthetic.hands import sample_hand_pose
from aios.synthetic.joint_limits import (
    BODY_JOINT_NAMES,
    clip_body_pose,
    mirror_pose,
)
from aios.synthetic.pose_vocabulary import (
    ARMS,
    GESTURES,
    POSTURES,
    Arm,
    Gesture,
    Leg,
    Posture,
)

# Row of the joint on the other side; the root is not in a body pose.
_OTHER_SIDE = SMPLX_ROTATIONS_53.flip_permutation[1:22] - 1
_ROW = {name: i for i, name in enumerate(BODY_JOINT_NAMES)}
# Length of the shin over that of the thigh; within 5 % of 1 in adults.
_SHIN_OVER_THIGH = 1.04


@dataclass(frozen=True)
class PoseSample:
    """One whole-body pose.

    Attributes:
        root: ``(3,)`` axis-angle tilt of the pelvis, heading excluded.
        body_pose: ``(21, 3)`` axis-angle.
        left_hand_pose, right_hand_pose: ``(15, 3)`` axis-angle relative to
            the flat hand.
        jaw_pose, leye_pose, reye_pose: ``(3,)`` axis-angle.
        posture, gesture: Names of the vocabulary entries.
        seat: Whether the person needs a seat.
    """

    root: np.ndarray
    body_pose: np.ndarray
    left_hand_pose: np.ndarray
    right_hand_pose: np.ndarray
    jaw_pose: np.ndarray
    leye_pose: np.ndarray
    reye_pose: np.ndarray
    posture: str = 'stand'
    gesture: str = 'relaxed'
    seat: bool = False


def arm_rotations(arm: Arm) -> dict[str, np.ndarray]:
    """Rotations of a left arm.

    Args:
        arm: Anatomical angles.

    Returns:
        Axis-angle ``(3,)`` of ``collar``, ``shoulder``, ``elbow``, ``wrist``.
    """
    rot = Rotation.from_euler
    # The collar takes a third of the abduction beyond the horizontal.
    lift = 0.35 * max(0.0, arm.abduct - 1.3)
    # Capital letters: intrinsic rotations.
    shoulder = rot(
        'XZX', [-arm.flex, arm.abduct - lift - np.pi / 2, arm.twist]
    )
    elbow = rot('YX', [-arm.bend, 0.6 * arm.pronate])
    wrist = rot('XZ', [0.4 * arm.pronate, -arm.wrist])
    collar = np.array([0.0, -0.12 * np.sin(np.clip(arm.flex, -1, 1.5)), lift])
    return dict(
        collar=collar,
        shoulder=shoulder.as_rotvec(),
        elbow=elbow.as_rotvec(),
        wrist=wrist.as_rotvec(),
    )


def solve_second_knee(thigh: float, knee: float, other_thigh: float) -> float:
    """Knee flexion that puts the second ankle as low as the first one.

    With thigh pitch ``a`` and knee flexion ``k`` a leg reaches
    ``cos(a) + r cos(k - a)`` thigh lengths below the hip (``r`` = shin/thigh).

    Args:
        thigh: Pitch of the first thigh, radians.
        knee: Flexion of the first knee.
        other_thigh: Pitch of the second thigh.

    Returns:
        Flexion of the second knee in ``[0, 2.4]``, the nearest possible when
        the second leg cannot reach.
    """
    r = _SHIN_OVER_THIGH
    reach = np.cos(thigh) + r * np.cos(knee - thigh)
    shin = np.arccos(np.clip((reach - np.cos(other_thigh)) / r, -1, 1))
    return float(np.clip(other_thigh + shin, 0.0, 2.4))


def leg_rotations(leg: Leg) -> dict[str, np.ndarray]:
    """Rotations of a left leg.

    Args:
        leg: Anatomical angles.

    Returns:
        Axis-angle ``(3,)`` of ``hip``, ``knee``, ``ankle``.
    """
    hip = Rotation.from_euler(
        'XZY', [-(leg.thigh + leg.lean), leg.abduct, leg.turnout]
    )
    level = leg.thigh - leg.knee if leg.ankle is None else leg.ankle
    # The ankle compensates the abduction to keep the sole level.
    side = -leg.abduct if leg.ankle is None else 0.0
    return dict(
        hip=hip.as_rotvec(),
        knee=np.array([leg.knee, 0.0, 0.0]),
        ankle=np.array([level, 0.0, side]),
    )


def _vary_arm(rng: np.random.Generator, arm: Arm) -> Arm:
    scale = arm.spread * np.array([0.16, 0.12, 0.18, 0.2, 0.25, 0.2])
    keys = ('flex', 'abduct', 'twist', 'bend', 'pronate', 'wrist')
    noise = rng.normal(0, 1, 6) * scale
    values = {k: getattr(arm, k) + d for k, d in zip(keys, noise, strict=True)}
    values['bend'] = max(0.02, values['bend'])
    values['abduct'] = max(0.08, values['abduct'])
    return replace(arm, **values)


def _free_arm(rng: np.random.Generator) -> Arm:
    """A random arm within its range instead of a named pose."""
    return Arm(
        flex=rng.uniform(-0.5, 1.6),
        abduct=rng.uniform(0.15, 1.7),
        twist=rng.uniform(-1.2, 0.6),
        bend=rng.uniform(0.05, 1.9),
        pronate=rng.uniform(-0.8, 0.8),
        wrist=rng.normal(0, 0.3),
    )


def apply_arm(body: np.ndarray, arm: Arm, side: str) -> None:
    """Writes an arm into a body pose.

    Args:
        body: ``(21, 3)`` axis-angle, changed in place.
        arm: Anatomical angles.
        side: ``left`` or ``right``.
    """
    _write_limb(body, arm_rotations(arm), side)


def apply_leg(body: np.ndarray, leg: Leg, side: str) -> None:
    """Writes a leg into a body pose.

    Args:
        body: ``(21, 3)`` axis-angle, changed in place.
        leg: Anatomical angles.
        side: ``left`` or ``right``.
    """
    _write_limb(body, leg_rotations(leg), side)


def _write_limb(
    body: np.ndarray, rotations: dict[str, np.ndarray], side: str
) -> None:
    """Writes the rotations of a left limb, mirrored for a right one."""
    for joint, value in rotations.items():
        body[_ROW[f'{side}_{joint}']] = (
            value if side == 'left' else mirror_pose(value)
        )


def _apply_legs(
    rng: np.random.Generator, body: np.ndarray, posture: Posture, lean: float
) -> None:
    thighs = np.array(posture.thighs) + rng.normal(0, posture.spread, 2)
    if posture.thighs[0] == posture.thighs[1]:
        thighs[1] = thighs[0] + rng.normal(0, posture.spread / 2)
    knee = max(0.0, posture.knee + rng.normal(0, posture.spread))
    if posture.right_knee is None:
        right_knee = solve_second_knee(thighs[0], knee, thighs[1])
    else:
        right_knee = max(
            0.0, posture.right_knee + rng.normal(0, posture.spread)
        )
    abduct = np.maximum(0.03, posture.abduct + rng.normal(0, 0.03, 2))
    turnout = posture.turnout + rng.normal(0, 0.08, 2)
    for i, (side, bend) in enumerate((('left', knee), ('right', right_knee))):
        leg = Leg(thighs[i], bend, abduct[i], turnout[i], lean, posture.ankle)
        apply_leg(body, leg, side)


def _apply_trunk(
    rng: np.random.Generator,
    body: np.ndarray,
    posture: Posture,
    gesture: Gesture,
) -> None:
    bow = posture.bow + rng.normal(0, 0.05)
    turn, side = rng.normal(0, 0.12), rng.normal(0, 0.05)
    for name, share in (
        ('spine_1', 0.45),
        ('spine_2', 0.35),
        ('spine_3', 0.2),
    ):
        body[_ROW[name]] = np.array([bow, turn, side]) * share
    nod, look = gesture.head
    # Bent persons look ahead: the neck compensates half of the bow.
    nod += rng.normal(0, 0.12) - 0.5 * (posture.bow + posture.lean)
    look += rng.normal(0, 0.3)
    tilt = rng.normal(0, 0.08)
    for name, share in (('neck', 0.5), ('head', 0.5)):
        body[_ROW[name]] = np.array([nod, look, tilt]) * share


def _choose(rng: np.random.Generator, table: dict, names: list[str]) -> str:
    weights = np.array([table[name].weight for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def _fitting_gestures(posture_name: str) -> list[str]:
    upright = POSTURES[posture_name].upright
    return [
        name
        for name, g in GESTURES.items()
        if (posture_name in g.postures) or (not g.postures and upright)
    ]


def _sample_face(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Jaw and (shared) gaze rotations; most mouths are nearly closed."""
    jaw = np.zeros(3)
    jaw[0] = min(0.35, rng.exponential(0.05) + 0.2 * (rng.random() < 0.12))
    gaze = np.array([rng.normal(0, 0.08), rng.normal(0, 0.15), 0.0])
    return jaw, np.clip(gaze, -0.35, 0.35)


def pose_from_names(
    rng: np.random.Generator, posture_name: str, gesture_name: str
) -> PoseSample:
    """Draws a variation of a named posture with a named gesture.

    Args:
        rng: Random generator.
        posture_name: Key of :data:`POSTURES`.
        gesture_name: Key of :data:`GESTURES`.

    Returns:
        The pose, mirrored in half of the cases.

    Raises:
        KeyError: If a name is unknown.
    """
    posture, gesture = POSTURES[posture_name], GESTURES[gesture_name]
    body = rng.normal(0, 0.02, (21, 3))
    lean = posture.lean + rng.normal(0, 0.03)
    _apply_legs(rng, body, posture, lean)
    _apply_trunk(rng, body, posture, gesture)
    hands = []
    for side, key in (('left', gesture.left), ('right', gesture.right)):
        arm = _vary_arm(rng, ARMS[key]) if key else _free_arm(rng)
        apply_arm(body, arm, side)
        name = str(rng.choice(arm.hands)) if arm.hands else None
        hands.append(sample_hand_pose(rng, name, left=side == 'left'))
    jaw, gaze = _sample_face(rng)
    pose = PoseSample(
        root=np.array([lean, 0.0, rng.normal(0, 0.02)]),
        body_pose=clip_body_pose(body),
        left_hand_pose=hands[0],
        right_hand_pose=hands[1],
        jaw_pose=jaw,
        leye_pose=gaze,
        reye_pose=gaze.copy(),
        posture=posture_name,
        gesture=gesture_name,
        seat=posture.seat,
    )
    return mirror_sample(pose) if rng.random() < 0.5 else pose


def mirror_sample(pose: PoseSample) -> PoseSample:
    """Swaps left and right.

    Args:
        pose: Any pose.

    Returns:
        Its mirror image about the sagittal plane.
    """
    return replace(
        pose,
        root=mirror_pose(pose.root),
        body_pose=mirror_pose(pose.body_pose[_OTHER_SIDE]),
        left_hand_pose=mirror_pose(pose.right_hand_pose),
        right_hand_pose=mirror_pose(pose.left_hand_pose),
        jaw_pose=mirror_pose(pose.jaw_pose),
        leye_pose=mirror_pose(pose.reye_pose),
        reye_pose=mirror_pose(pose.leye_pose),
    )


def _lying_pose(rng: np.random.Generator) -> PoseSample:
    """A standing pose rotated onto the back, the belly or a side."""
    posture = str(rng.choice(['stand', 'wide', 'step', 'half_squat']))
    gesture = _choose(rng, GESTURES, _fitting_gestures(posture))
    pose = pose_from_names(rng, posture, gesture)
    tilt = {
        'back': (-np.pi / 2, 0.0),
        'belly': (np.pi / 2, 0.0),
        'left': (0.0, np.pi / 2),
        'right': (0.0, -np.pi / 2),
    }[str(rng.choice(['back', 'back', 'belly', 'left', 'right']))]
    fall = Rotation.from_euler('xz', tilt + rng.normal(0, 0.08, 2))
    root = (fall * Rotation.from_rotvec(pose.root)).as_rotvec()
    return replace(pose, root=root, posture='lie')


def sample_pose(
    rng: np.random.Generator, *, allow_seats: bool = True, lying: float = 0.0
) -> PoseSample:
    """Draws a pose from the vocabulary.

    Args:
        rng: Random generator.
        allow_seats: Whether postures that need a seat may be drawn.
        lying: Share of lying poses.

    Returns:
        A pose within the joint limits.
    """
    if lying and rng.random() < lying:
        return _lying_pose(rng)
    names = [n for n, p in POSTURES.items() if allow_seats or not p.seat]
    posture = _choose(rng, POSTURES, names)
    gesture = _choose(rng, GESTURES, _fitting_gestures(posture))
    return pose_from_names(rng, posture, gesture)
