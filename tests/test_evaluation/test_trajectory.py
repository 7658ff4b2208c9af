# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of motions in the world, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aios.evaluation.functional import (
    foot_sliding,
    jitter,
    root_trajectory_error,
    world_errors,
)

CROSS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def walk(count: int) -> np.ndarray:
    """A rigid cross that goes one meter a frame along x."""
    return CROSS + np.arange(count)[:, None, None] * np.array([1.0, 0, 0])


def test_a_similarity_of_the_world_is_no_error():
    true = walk(7)
    turn = Rotation.from_rotvec((0.3, -1.0, 0.4)).as_matrix()
    moved = 2.5 * true @ turn.T + (3, 1, -8)
    for errors in world_errors(moved, true, length=3):
        assert errors.shape == (7,)
        assert np.abs(errors).max() < 1e-12


def test_drift():
    """The first two frames are right; then the body falls behind.

    Truth is at x = 0, 1, 2, 3, the prediction at 0, 1, 2, 2.  W aligns at
    the first two frames, which need no motion: errors 0, 0, 0, 1.
    """
    true, ours = walk(4), walk(4)
    ours[3] -= (1, 0, 0)
    w, wa = world_errors(ours, true, length=4)
    np.testing.assert_allclose(w, (0, 0, 0, 1), atol=1e-12)
    assert wa.max() < 1
    assert 0 < np.square(wa).sum() < np.square(w).sum()


def test_segments_start_anew_and_the_rest_joins_the_last():
    """A jump by (0, 5, 0) between segments of two is no error.

    Five frames in segments of two: frames 0-1, and 2-4.  After a jump at
    frame 4, within the last segment, W is 5 there.
    """
    true, ours = walk(5), walk(5)
    ours[2:] += (0, 5, 0)
    w, wa = world_errors(ours, true, length=2)
    np.testing.assert_allclose(w, 0, atol=1e-12)
    np.testing.assert_allclose(wa, 0, atol=1e-12)
    ours[4:] += (0, 5, 0)
    w, _ = world_errors(ours, true, length=2)
    np.testing.assert_allclose(w, (0, 0, 0, 0, 5), atol=1e-12)


def test_fewer_frames_than_a_segment():
    w, wa = world_errors(walk(1), walk(1))
    np.testing.assert_allclose([w, wa], [[0], [0]], atol=1e-12)


def test_root_trajectory():
    """Truth goes from -1 over 0 to 1 along x, two meters.

    The prediction goes from -2 over 0 to 2 along y.  A rotation brings y
    onto x, no scale is allowed: distances 1, 0, 1, shares 1/2, 0, 1/2.
    """
    true = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]])
    ours = 2 * true[:, [1, 0, 2]] + (0, 0, 9)
    error = root_trajectory_error(ours, true)
    np.testing.assert_allclose(error, (0.5, 0, 0.5), atol=1e-12)
    assert root_trajectory_error(ours, np.zeros((3, 3))) is None


@pytest.mark.parametrize('fps', [30, 10])
def test_jitter(fps):
    """x = 1 mm · t³ has the third difference 6 mm in every frame.

    At 30 frames per second 0.006 · 27000 = 162 m/s³, that is 16.2 units of
    10 m/s³.  x = t² has none.  Frame 9 is missing: of frames 0..8, 10..12
    only windows 0-3 .. 5-8 are whole.
    """
    frames = np.r_[0:9, 10:13]
    points = np.zeros((len(frames), 2, 3))
    points[:, 0, 1] = 0.001 * frames**3
    points[:, 1, 2] = frames**2
    values = jitter(points, frames, fps)
    expected = 0.006 * fps**3 / 10 / 2  # mean of the two points
    np.testing.assert_allclose(values, [expected] * 6)
    assert not len(jitter(points[:3], frames[:3]))


def test_foot_sliding():
    """Of two feet the first stands, then lifts; the second is in the air.

    True steps of foot 0: 5 mm (contact), 20 mm (none), 0 (contact, but two
    frames lie between).  Predicted steps of foot 0: 3 cm, 9 cm, 7 cm.
    """
    true, ours = np.zeros((4, 2, 3)), np.zeros((4, 2, 3))
    true[:, 0, 0] = 0, 0.005, 0.025, 0.025
    true[:, 1, 1] = 0, 1, 2, 3
    ours[:, 0, 0] = 0, 0.03, 0.12, 0.19
    frames = np.array([4, 5, 6, 8])
    np.testing.assert_allclose(foot_sliding(ours, true, frames), [0.03])
    frames[3] = 7
    np.testing.assert_allclose(foot_sliding(ours, true, frames), [0.03, 0.07])
