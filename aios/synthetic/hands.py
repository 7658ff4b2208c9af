# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hand gestures: finger poses from a small vocabulary plus noise.

A hand is described by the curl of each finger (0 = straight, 1 = fist), the
spread of the fingers and the thumb.  :func:`hand_pose` converts it to the 15
SMPL-X finger rotations (index, middle, pinky, ring, thumb; three joints each)
relative to a *flat* hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios.synthetic.joint_limits import mirror_pose

# Flexion of the three joints of a fully curled finger, radians.
_FULL_CURL = np.array([1.45, 1.65, 1.0])
# Sideways fan of index, middle, ring, pinky when fully spread, radians.
_FAN = np.array([-0.22, -0.04, 0.14, 0.32])
_FINGER_ROWS = (0, 3, 9, 6)  # index, middle, ring, pinky


@dataclass(frozen=True)
class HandShape:
    """Shape of a hand.

    Attributes:
        curls: Curl of index, middle, ring and pinky, 0 (straight) to 1 (fist).
        thumb: Curl of the thumb joints, 0 to 1.
        oppose: Opposition of the thumb under the palm, -0.3 to 1.
        spread: Fan of the fingers, -0.3 (closed) to 1 (wide).
        noise: Standard deviation of the curls when sampled.
    """

    curls: tuple[float, float, float, float]
    thumb: float = 0.15
    oppose: float = 0.2
    spread: float = 0.1
    noise: float = 0.06


HAND_GESTURES: dict[str, HandShape] = {
    'relaxed': HandShape((0.22, 0.3, 0.34, 0.36), noise=0.1),
    'open': HandShape((0.0, 0.0, 0.0, 0.02), 0.0, -0.1, 0.7),
    'flat': HandShape((0.03, 0.03, 0.03, 0.04), 0.1, 0.1, -0.15),
    'fist': HandShape((0.95, 0.97, 0.98, 0.97), 0.75, 0.85, -0.1, 0.02),
    'point': HandShape((0.02, 0.9, 0.93, 0.93), 0.7, 0.8, 0.0, 0.03),
    'victory': HandShape((0.02, 0.03, 0.9, 0.92), 0.7, 0.85, 0.9, 0.03),
    'thumb_up': HandShape((0.93, 0.95, 0.95, 0.95), 0.0, -0.3, -0.1, 0.03),
    'pinch': HandShape((0.5, 0.35, 0.25, 0.2), 0.35, 0.75, 0.2),
    'grip': HandShape((0.6, 0.63, 0.65, 0.65), 0.45, 0.6, 0.0),
    'claw': HandShape((0.4, 0.4, 0.4, 0.4), 0.3, 0.1, 0.7, 0.1),
}


def hand_pose(shape: HandShape, *, left: bool = True) -> np.ndarray:
    """Finger rotations of a hand shape.

    Args:
        shape: The hand.
        left: Left hand; the right one is its mirror image.

    Returns:
        ``(15, 3)`` float64 axis-angle rotations relative to the flat hand.
    """
    pose = np.zeros((15, 3))
    for finger, row in enumerate(_FINGER_ROWS):
        curl = shape.curls[finger]
        pose[row : row + 3, 2] = -curl * _FULL_CURL
        # Curled fingers converge, so the fan fades with the curl.
        pose[row, 1] = shape.spread * _FAN[finger] * (1 - min(1, abs(curl)))
    pose[12] = shape.oppose * np.array([0.75, 0.2, -0.35])
    pose[13] = shape.thumb * np.array([0.1, 0.65, -0.25])
    pose[14] = shape.thumb * np.array([0.1, 1.0, -0.3])
    return pose if left else mirror_pose(pose)


def sample_hand_pose(
    rng: np.random.Generator, gesture: str | None = None, *, left: bool = True
) -> np.ndarray:
    """Draws a hand.

    Args:
        rng: Random generator.
        gesture: A key of :data:`HAND_GESTURES`; ``None`` draws one, or, in a
            quarter of the cases, a hand with independent random fingers.
        left: Left hand.

    Returns:
        ``(15, 3)`` float64 axis-angle rotations relative to the flat hand.

    Raises:
        KeyError: If the gesture is unknown.
    """
    if gesture is None and rng.random() < 0.25:
        base = HandShape(
            tuple(rng.uniform(0, 1, 4)),
            rng.uniform(0, 0.8),
            rng.uniform(-0.2, 0.9),
            rng.uniform(-0.2, 0.9),
        )
    else:
        name = gesture or str(rng.choice(list(HAND_GESTURES)))
        base = HAND_GESTURES[name]
    shared, single = (
        rng.normal(0, base.noise, 2)[0],
        rng.normal(0, base.noise / 2, 4),
    )
    curls = np.clip(np.array(base.curls) + shared + single, -0.08, 1.02)
    drawn = HandShape(
        tuple(curls),
        float(np.clip(base.thumb + rng.normal(0, 0.08), 0, 1)),
        float(np.clip(base.oppose + rng.normal(0, 0.08), -0.3, 1)),
        float(np.clip(base.spread + rng.normal(0, 0.1), -0.3, 1)),
    )
    return hand_pose(drawn, left=left)
