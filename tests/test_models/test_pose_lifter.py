# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From keypoints in the image to rotations."""

from __future__ import annotations

import pytest
import torch

from aios.models.heads.pose_lifter import PoseLifter
from aios.structures import axis_angle_to_matrix


@pytest.fixture
def lifter() -> PoseLifter:
    torch.manual_seed(0)
    lifter = PoseLifter(hidden_dims=32, num_blocks=1)
    torch.nn.init.normal_(lifter.output.weight, std=0.1)
    return lifter.eval()


def test_starts_upright_and_facing_the_camera():
    lifter = PoseLifter(hidden_dims=8, num_blocks=1)
    lifter.init_weights()
    pose = lifter(torch.randn(3, 17, 2), torch.ones(3, 17))
    expected = torch.eye(3).repeat(3, 22, 1, 1)
    expected[:, 0] = torch.diag(torch.tensor([1.0, -1, -1]))
    torch.testing.assert_close(pose, expected)


def test_neither_place_nor_size_matters(lifter):
    keypoints = 50 * torch.randn(2, 17, 2)
    heat = (torch.rand(2, 17) - 0.3).clamp(min=0)
    pose = lifter(keypoints, heat)
    torch.testing.assert_close(lifter(3 * keypoints + 100, heat), pose)
    assert not torch.allclose(lifter(keypoints.flip(1), heat), pose)


def test_nothing_seen_and_all_in_one_place_is_finite(lifter):
    pose = lifter(torch.ones(1, 17, 2), torch.zeros(1, 17))
    assert pose.isfinite().all()


def test_blend_trusts_keypoints_as_far_as_they_are_certain(lifter):
    lifter.share, lifter.trust = 1.0, (0.2, 0.6)
    own = axis_angle_to_matrix(torch.randn(1, 22, 3)).expand(4, -1, -1, -1)
    keypoints = torch.randn(1, 17, 2).expand(4, -1, -1)
    heat = torch.tensor([0.0, 0.2, 0.6, 0.9])[:, None].expand(4, 17)
    blended, lifted = (
        lifter.blend(own, keypoints, heat),
        lifter(keypoints, heat),
    )
    torch.testing.assert_close(blended[:2], own[:2])
    torch.testing.assert_close(blended[2:], lifted[2:])


def test_blend_of_half_certain_keypoints_lies_between(lifter):
    own = axis_angle_to_matrix(torch.randn(1, 22, 3))
    keypoints, heat = torch.randn(1, 17, 2), torch.full((1, 17), 0.4)
    blended = lifter.blend(own, keypoints, heat)
    assert (blended - own).abs().max() > 0.01
    assert (blended - lifter(keypoints, heat)).abs().max() > 0.01


def test_share_goes_from_the_detector_to_the_lifter(lifter):
    own = axis_angle_to_matrix(torch.randn(1, 22, 3))
    where = torch.randn(1, 17, 2), torch.ones(1, 17)
    lifter.share = 1.0
    torch.testing.assert_close(lifter.blend(own, *where), lifter(*where))
    lifter.share = 0.0
    torch.testing.assert_close(lifter.blend(own, *where), own)


@pytest.mark.parametrize('trust', [(0.5, 0.5), (0.6, 0.3)])
def test_trust_that_does_not_ascend_is_refused(trust):
    with pytest.raises(ValueError, match='trust must ascend'):
        PoseLifter(hidden_dims=8, num_blocks=1, trust=trust)
