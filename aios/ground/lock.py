# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Lock feet during contacts.

:mod:`.solve` has moved the whole person; the legs correct the remaining
millimeters to centimeters.

Legend: ``T`` frames of a person; the axis of 2 after it is left and right,
the next heel and toes.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from .contacts import intervals
from .floor import Floor
from .legs import ANKLES, Legs, turn_between

_EASE = 0.2  # seconds of the transition into and out of a contact
_MAX_SHIFT = 0.12  # meters; contacts that need more are ignored
_MAX_TURN = 0.4  # radians by which a foot turns
_ROUNDS = 8


def lock_feet(
    legs: Legs,
    targets: np.ndarray,
    seen: np.ndarray,
    floor: Floor,
    step: float,
) -> Legs:
    """Move feet to their contact points, and not below the floor.

    Args:
        legs: Legs at the corrected position of the person.
        targets: ``(T, 2, 2, 3)`` contact points; NaN without contact.
        seen: ``(T, 2, 2)`` whether points are inside the image.
        floor: The floor.
        step: Seconds between frames.

    Returns:
        The legs; the pelvis is moved only where they are too short.
    """
    soles = legs.soles
    wanted = targets - soles
    far = np.linalg.norm(wanted, axis=-1) > _MAX_SHIFT
    targets = np.where(far[..., None], np.nan, targets)
    stands = np.isfinite(targets).all(-1)
    reach = max(round(_EASE / step), 1)
    turn = _eased(_turns(soles, targets), stands.all(2), reach)
    ankles = legs.joints[:, ANKLES]
    arms = soles - ankles[:, :, None]
    points = ankles[:, :, None] + _rotate(turn[:, :, None], arms)
    counts = stands.sum(2)[..., None]
    off = np.where(stands[..., None], targets - points, 0.0).sum(2)
    shift = _eased(off / np.maximum(counts, 1), stands.any(2), reach)
    low = floor.heights(points + shift[:, :, None]).min(2)
    # Feet outside the image are not lifted.
    low[stands.any(2) | ~seen.any(2)] = 0
    shift += _lift(-low)[..., None] * floor.up
    down = _reachable(legs, shift, stands.any(2))
    return legs.shifted(down).stepped(shift - down[:, None], turn)


def _lift(depth: np.ndarray) -> np.ndarray:
    """Meters by which to lift feet at a depth below the floor.

    Feet far below the floor are not on it, and not lifted.
    """
    return np.clip(np.minimum(depth, 2 * _MAX_SHIFT - depth), 0, None)


def _turns(soles: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``(T, 2, 3)`` rotations of feet onto the targets of heel and toes."""
    start, end = soles[:, :, 1] - soles[:, :, 0], targets[:, :, 1]
    end = end - targets[:, :, 0]
    turn = turn_between(start, np.where(np.isfinite(end), end, start))
    angle = np.linalg.norm(turn, axis=-1, keepdims=True)
    return turn * (_MAX_TURN / np.maximum(angle, _MAX_TURN))


def _rotate(turn: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    turn = np.broadcast_to(turn, vectors.shape)
    rotation = Rotation.from_rotvec(turn.reshape(-1, 3))
    return rotation.apply(vectors.reshape(-1, 3)).reshape(vectors.shape)


def _eased(values: np.ndarray, known: np.ndarray, reach: int) -> np.ndarray:
    """Values ``(T, 2, 3)`` that fade to zero where they are not known."""
    out = np.where(known[..., None], values, 0.0)
    for side in range(values.shape[1]):
        for first, end in intervals(~known[:, side]):
            away = np.arange(1, end - first + 1)
            if first > 0:
                out[first:end, side] += (
                    _smoothstep(away, reach) * values[first - 1, side]
                )
            if end < len(values):
                out[first:end, side] += (
                    _smoothstep(away[::-1], reach) * values[end, side]
                )
    return out


def _smoothstep(away: np.ndarray, reach: int) -> np.ndarray:
    t = np.clip(1 - away / (reach + 1), 0, 1)[:, None]
    return t**2 * (3 - 2 * t)


def _reachable(
    legs: Legs, shift: np.ndarray, stands: np.ndarray
) -> np.ndarray:
    """``(T, 3)`` shift of the pelvis that lets legs reach the floor."""
    down = np.zeros((len(legs), 3))
    ankles = legs.joints[:, ANKLES] + shift
    for _ in range(_ROUNDS):
        short = legs.shifted(down).overstretch(ankles) * stands[..., None]
        longest = np.linalg.norm(short, axis=-1).argmax(1)
        short = short[np.arange(len(legs)), longest]
        if not short.any():
            break
        down += 1.3 * gaussian_filter1d(short, 1.5, axis=0)
    return down
