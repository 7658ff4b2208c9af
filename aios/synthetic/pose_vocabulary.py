# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Vocabulary of arm, leg and upper-body poses in anatomical angles.

Angles are in radians, relative to standing upright with hanging arms.
:mod:`aios.synthetic.poses` converts the tables to SMPL-X rotations and adds
variation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        flex: Upper arm raised forwards (negative: backwards).
        abduct: Upper arm raised sideways.
        twist: Rotation of the upper arm about its axis, inwards positive:
            with a bent elbow, inwards moves the hand to the midline, and
            outwards raises the hand of an abducted arm.
        bend: Elbow flexion.
        pronate: Rotation of the forearm about its axis.
        wrist: Wrist flexion (towards the palm positive).
        hands: Gestures that fit this arm; empty: any.
        spread: Scale of the sampled variation.
    """

    flex: float = 0.0
    abduct: float = 0.15
    twist: float = 0.0
    bend: float = 0.25
    pronate: float = 0.0
    wrist: float = 0.0
    hands: tuple[str, ...] = ()
    spread: float = 1.0


_LOOSE = ('relaxed', 'relaxed', 'flat', 'fist')

ARMS: dict[str, Arm] = {
    'hang': Arm(0.0, 0.2, 0.1, 0.3, hands=_LOOSE),
    'forward_swing': Arm(0.45, 0.18, 0.15, 0.55, hands=_LOOSE),
    'back_swing': Arm(-0.45, 0.2, 0.1, 0.25, hands=_LOOSE),
    'run_front': Arm(0.6, 0.2, 0.3, 1.6, hands=('fist', 'relaxed')),
    'run_back': Arm(-0.8, 0.25, 0.1, 1.5, hands=('fist', 'relaxed')),
    'akimbo': Arm(
        -0.35, 0.75, 0.95, 1.65, 0.3, -0.3, ('relaxed', 'fist', 'flat'), 0.5
    ),
    'wave': Arm(0.15, 1.25, -1.35, 1.2, 0.0, 0.0, ('open', 'flat'), 1.0),
    'wave_high': Arm(0.1, 2.3, -0.9, 0.5, 0.0, 0.0, ('open', 'flat')),
    'reach_up': Arm(0.2, 2.55, -0.5, 0.2, hands=('open', 'grip', 'flat')),
    'reach_forward': Arm(
        1.35, 0.2, 0.0, 0.25, hands=('open', 'grip', 'point', 'flat', 'claw')
    ),
    'reach_side': Arm(0.1, 1.4, 0.0, 0.2, hands=('open', 'point', 'flat')),
    'point': Arm(1.2, 0.45, 0.1, 0.2, hands=('point',)),
    'present': Arm(0.35, 0.45, -0.5, 1.3, -0.7, hands=('open', 'flat')),
    'phone': Arm(0.5, 0.55, -0.2, 2.3, 0.3, hands=('grip',), spread=0.5),
    'look_at_phone': Arm(
        0.35, 0.2, 0.25, 1.7, -0.6, 0.1, ('grip', 'point'), 0.7
    ),
    'drink': Arm(0.8, 0.35, 0.35, 2.15, 0.2, hands=('grip',), spread=0.6),
    'think': Arm(
        0.55, 0.15, 0.5, 2.3, -0.3, 0.3, ('relaxed', 'fist', 'point'), 0.4
    ),
    'salute': Arm(0.4, 1.25, -0.8, 2.2, 0.6, hands=('flat',), spread=0.4),
    'carry': Arm(0.25, 0.2, 0.1, 1.5, -0.2, hands=('grip', 'fist', 'flat')),
    'crossed_over': Arm(
        0.42, 0.28, 0.95, 1.75, 0.5, 0.1, ('flat', 'relaxed'), 0.35
    ),
    'crossed_under': Arm(
        0.6, 0.3, 0.9, 1.7, 0.4, 0.1, ('flat', 'relaxed'), 0.35
    ),
    'clasp': Arm(0.25, 0.22, 0.62, 1.15, 0.2, 0.1, ('relaxed', 'grip'), 0.4),
    'behind': Arm(-0.55, 0.3, 0.75, 0.75, 0.3, 0.0, ('relaxed',), 0.5),
    'clap': Arm(0.65, 0.22, 0.52, 1.35, -0.2, 0.0, ('flat',), 0.4),
    'guard': Arm(0.75, 0.35, 0.15, 2.0, 0.0, 0.0, ('fist',), 0.8),
    'thumb_up': Arm(0.6, 0.3, 0.1, 1.3, -0.5, 0.0, ('thumb_up',)),
    'victory': Arm(0.5, 0.6, -0.4, 2.0, 0.0, 0.0, ('victory',)),
    'camera': Arm(1.05, 0.35, 0.35, 1.75, -0.1, 0.0, ('grip',), 0.4),
    'on_knee': Arm(0.55, 0.12, 0.1, 0.75, 0.1, 0.1, ('relaxed', 'flat'), 0.5),
    'press_up': Arm(0.2, 2.7, -0.3, 0.4, hands=('open', 'fist', 'grip')),
    'dangle': Arm(0.9, 0.1, 0.0, 0.2, hands=('relaxed', 'grip', 'open')),
}


@dataclass(frozen=True)
class Gesture:
    """Pose of both arms and the head.

    Attributes:
        left: Key of :data:`ARMS` (of the right arm when mirrored).
        right: Key of :data:`ARMS`.
        weight: Relative frequency.
        head: Nod (positive: down) and turn (positive: left), radians.
        postures: Postures it fits; empty: all upright ones.
    """

    left: str
    right: str
    weight: float = 1.0
    head: tuple[float, float] = (0.0, 0.0)
    postures: tuple[str, ...] = ()


GESTURES: dict[str, Gesture] = {
    'relaxed': Gesture('hang', 'hang', 3.0),
    'swing': Gesture(
        'forward_swing', 'back_swing', 4.0, postures=('walk', 'run', 'step')
    ),
    'running': Gesture('run_front', 'run_back', 6.0, postures=('run',)),
    'akimbo': Gesture('akimbo', 'akimbo', 0.8),
    'one_akimbo': Gesture('akimbo', 'hang', 0.8),
    'wave': Gesture('wave', 'hang', 1.2),
    'wave_high': Gesture('wave_high', 'hang', 0.7),
    'cheer': Gesture('reach_up', 'reach_up', 0.6, (-0.2, 0.0)),
    'press_up': Gesture('press_up', 'press_up', 0.3),
    'reach_up': Gesture('reach_up', 'hang', 0.7, (-0.3, 0.2)),
    'reach_forward': Gesture('reach_forward', 'hang', 0.8),
    'reach_both': Gesture('reach_forward', 'reach_forward', 0.6),
    'spread_arms': Gesture('reach_side', 'reach_side', 0.6),
    'point': Gesture('point', 'hang', 1.0, (0.0, 0.3)),
    'present': Gesture('present', 'hang', 0.6),
    'explain': Gesture('present', 'present', 1.0),
    'phone': Gesture('phone', 'hang', 0.9, (0.05, 0.1)),
    'text': Gesture('look_at_phone', 'hang', 0.8, (0.35, 0.1)),
    'text_both': Gesture('look_at_phone', 'look_at_phone', 0.6, (0.4, 0.0)),
    'drink': Gesture('drink', 'hang', 0.6, (-0.1, 0.0)),
    'think': Gesture('think', 'hang', 0.5, (0.15, 0.1)),
    'salute': Gesture('salute', 'hang', 0.3),
    'carry': Gesture('carry', 'carry', 0.9),
    'arms_crossed': Gesture('crossed_over', 'crossed_under', 1.3),
    'clasp': Gesture('clasp', 'clasp', 0.9),
    'behind': Gesture('behind', 'behind', 0.6),
    'clap': Gesture('clap', 'clap', 0.7),
    'guard': Gesture('guard', 'guard', 0.5),
    'thumb_up': Gesture('thumb_up', 'hang', 0.5),
    'victory': Gesture('victory', 'hang', 0.5),
    'camera': Gesture('camera', 'camera', 0.4),
    'hands_on_knees': Gesture(
        'on_knee', 'on_knee', 3.0, (0.1, 0.0), ('sit', 'crouch', 'sit_floor')
    ),
    'pick_up': Gesture('dangle', 'dangle', 5.0, (-0.2, 0.0), ('bend',)),
    'free': Gesture('', '', 1.5),
}


@dataclass(frozen=True)
class Leg:
    """One leg under a pitched pelvis.

    Attributes:
        thigh: Thigh pitch in the world, forwards positive.
        knee: Knee flexion.
        abduct: Sideways angle.
        turnout: Outward rotation.
        lean: Pitch of the pelvis.
        ankle: Ankle extension, ``None`` for a level sole.
    """

    thigh: float
    knee: float
    abduct: float
    turnout: float
    lean: float
    ankle: float | None


@dataclass(frozen=True)
class Posture:
    """Pose of the legs and the trunk.

    Attributes:
        thighs: Pitch of the left and right thigh from the vertical, forwards
            positive.
        knee: Flexion of the left knee.  Unless ``right_knee`` is given, that
            of the right knee is solved for equal heights of both ankles.
        right_knee: Flexion of the right knee or ``None``.
        abduct: Sideways angle of both thighs.
        turnout: Outward rotation of both thighs.
        lean: Forward pitch of the pelvis.
        bow: Forward flexion of the spine, spread over its joints.
        ankle: Fixed ankle extension, ``None`` keeps the soles level.
        weight: Relative frequency.
        seat: Whether it needs a seat.
        upright: Whether it fits all arm gestures.
        spread: Standard deviation of thighs and knee.
    """

    thighs: tuple[float, float]
    knee: float
    right_knee: float | None = None
    abduct: float = 0.08
    turnout: float = 0.15
    lean: float = 0.0
    bow: float = 0.05
    ankle: float | None = None
    weight: float = 1.0
    seat: bool = False
    upright: bool = True
    spread: float = 0.06


POSTURES: dict[str, Posture] = {
    'stand': Posture((0.03, 0.03), 0.06, weight=4.0),
    'wide': Posture((0.05, 0.05), 0.1, abduct=0.28, turnout=0.3, weight=1.2),
    'step': Posture((0.22, -0.12), 0.2, weight=2.0),
    'walk': Posture((0.42, -0.3), 0.15, 0.35, lean=0.04, weight=3.0),
    'run': Posture((0.85, -0.35), 1.25, 0.5, lean=0.18, weight=0.7),
    'lunge': Posture((0.95, -0.35), 1.1, lean=0.08, weight=0.7),
    'bend': Posture(
        (0.1, 0.1),
        0.25,
        lean=0.7,
        bow=0.75,
        upright=False,
        abduct=0.12,
        weight=0.8,
    ),
    'bow': Posture((0.05, 0.05), 0.12, lean=0.3, bow=0.4, weight=0.6),
    'half_squat': Posture(
        (0.75, 0.75),
        1.05,
        abduct=0.2,
        turnout=0.3,
        lean=0.3,
        bow=0.2,
        weight=0.7,
    ),
    'crouch': Posture(
        (1.75, 1.75),
        2.2,
        abduct=0.3,
        turnout=0.3,
        lean=0.35,
        bow=0.35,
        weight=0.7,
    ),
    'kneel_one': Posture(
        (1.5, -0.1), 1.5, 1.55, ankle=0.3, weight=0.5, spread=0.03
    ),
    'kneel': Posture(
        (0.05, 0.05), 1.62, 1.62, ankle=0.75, weight=0.4, spread=0.03
    ),
    'sit': Posture(
        (1.45, 1.45), 1.45, abduct=0.12, weight=1.6, seat=True, spread=0.08
    ),
    'sit_floor': Posture(
        (2.25, 2.25), 1.5, abduct=0.2, lean=-0.25, bow=0.45, weight=0.5
    ),
    'one_leg': Posture((1.0, 0.02), 1.3, 0.05, weight=0.4),
}
