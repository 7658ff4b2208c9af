#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Train the pose lifter of aios_s on posed skeletons, without images.

    python projects/free_model/train_lifter.py OUT.pth

Poses of the generator of synthetic images are projected by a random camera.
Keypoints get the errors of a pose network: noise that grows with decreasing
confidence, occlusion, truncation, and swapped legs. The training can be
killed at any time and resumes when started again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from scipy.spatial.transform import Rotation
from torch import Tensor

from aios.body_models import SMPLXLayer
from aios.models.heads.pose_lifter import PoseLifter
from aios.structures import (
    COCO_17,
    SMPLX_144,
    axis_angle_to_matrix,
    joint_mapping,
)
from aios.synthetic.bodies import sample_shape
from aios.synthetic.poses import sample_pose
from aios.utils.command_line import errors_in_one_line

NUM_JOINTS = 22
NUM_SHAPES = 256
BATCH_SIZE = 1024
MIN_HEAT = 0.1  # less is treated as hidden
DEGREES_OF_FREEDOM = 3.0  # of errors of keypoints
ARMS = tuple(
    [i for i, n in enumerate(SMPLX_144.names[:NUM_JOINTS]) if n in names]
    for names in (
        [
            f'{side}_{joint}'
            for joint in ('collar', 'shoulder', 'elbow', 'wrist')
        ]
        for side in ('left', 'right')
    )
)
LEGS = tuple(  # hip, knee, ankle
    [i for i, n in enumerate(COCO_17.names) if n.startswith(side)][-3:]
    for side in ('left', 'right')
)
# Rotation from the body (y up) to a camera in front of it (y down).
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def sample_poses(count: int, seed: int) -> Tensor:
    """Rotations of root and joints, ``(count, 22, 3, 3)``."""
    rng = np.random.default_rng(seed)
    poses = [sample_pose(rng, lying=0.04) for _ in range(count)]
    turns = np.stack(
        [np.concatenate((p.root[None], p.body_pose)) for p in poses]
    )
    matrices = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix()
    return torch.from_numpy(matrices.reshape(-1, NUM_JOINTS, 3, 3)).float()


@dataclass(frozen=True)
class View:
    """Projected persons.

    Args:
        rotations: ``(B, 22, 3, 3)``, that of the root to the camera.
        shapes: ``(B,)`` int64, index of the body.
        keypoints: ``(B, 17, 2)``.
        heat: ``(B, 17)`` probability of each keypoint, 0 if hidden.
    """

    rotations: Tensor
    shapes: Tensor
    keypoints: Tensor
    heat: Tensor


class Skeletons:
    """Bones of some bodies of the free body model."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        layer = SMPLXLayer('free')
        betas = np.stack([sample_shape(rng)[0] for _ in range(NUM_SHAPES)])
        with torch.no_grad():
            body = layer(
                betas=torch.from_numpy(betas).float(), return_vertices=False
            )
        coco = torch.from_numpy(
            joint_mapping('smplx_144', 'coco', approximate=True).copy()
        )
        head = SMPLX_144.names.index('head')
        self.parents = layer.parents[:NUM_JOINTS]
        self.owner = torch.where(coco < NUM_JOINTS, coco, head)
        joints = body.joints[:, :NUM_JOINTS]
        self.bones = joints - joints[:, self.parents]
        self.arms = body.joints[:, coco] - joints[:, self.owner]

    def pose(self, rotations: Tensor, shapes: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations to the camera and joints from the pelvis.

        Returns:
            ``(B, 22, 3, 3)`` and ``(B, 22, 3)`` meters.
        """
        bones = self.bones[shapes]
        turns = [rotations[:, 0]]
        joints = [torch.zeros_like(bones[:, 0])]
        for joint, parent in enumerate(self.parents.tolist()[1:], 1):
            bone = turns[parent] @ bones[:, joint, :, None]
            joints.append(joints[parent] + bone[..., 0])
            turns.append(turns[parent] @ rotations[:, joint])
        return torch.stack(turns, 1), torch.stack(joints, 1)

    def keypoints(
        self, turns: Tensor, joints: Tensor, shapes: Tensor
    ) -> Tensor:
        """``(B, 17, 3)`` meters from the pelvis."""
        arms = turns[:, self.owner] @ self.arms[shapes][..., None]
        return joints[:, self.owner] + arms[..., 0]


def draw(poses: Tensor, skeletons: Skeletons) -> View:
    """Draw a batch."""
    rotations = _mix_poses(poses)
    rotations[:, 0] = _sample_cameras(BATCH_SIZE) @ rotations[:, 0]
    shapes = torch.randint(NUM_SHAPES, (BATCH_SIZE,))
    turns, joints = skeletons.pose(rotations, shapes)
    keypoints = skeletons.keypoints(turns, joints, shapes)
    # From 2 to 10 meters away; the unit of the image does not matter.
    distance = 0.3 + 1.7 * torch.rand(BATCH_SIZE, 1).mul(1.8).exp()
    depth = (keypoints[..., 2] + distance).clamp(min=0.2) / distance
    image = keypoints[..., :2] / depth[..., None]
    heat = _sample_heat(_sample_seen(image))
    return View(rotations, shapes, _disturb(image, heat), heat)


def _mix_poses(poses: Tensor) -> Tensor:
    """Replace 30 % of the arms by those of other poses, and add noise."""
    rotations = poses[torch.randint(len(poses), (BATCH_SIZE,))]
    for arm in ARMS:
        others = poses[torch.randint(len(poses), (BATCH_SIZE,))]
        is_other = torch.rand(BATCH_SIZE, 1, 1, 1) < 0.3
        rotations[:, arm] = torch.where(
            is_other, others[:, arm], rotations[:, arm]
        )
    return rotations @ axis_angle_to_matrix(
        0.06 * torch.randn(BATCH_SIZE, NUM_JOINTS, 3)
    )


def _sample_cameras(count: int) -> Tensor:
    """Rotations from upright bodies to cameras, ``(count, 3, 3)``."""
    anywhere = 2 * np.pi * torch.rand(count)
    ahead = 0.6 * torch.randn(count)
    heading = torch.where(torch.rand(count) < 0.5, anywhere, ahead)
    level = 0.12 + 0.18 * torch.randn(count)
    steep = 1.2 * torch.rand(count) - 0.3
    pitch = torch.where(torch.rand(count) < 0.7, level, steep)
    roll = 0.05 * torch.randn(count)
    zero = torch.zeros(count)

    def about(*axis: Tensor) -> Tensor:
        return axis_angle_to_matrix(torch.stack(axis, dim=-1))

    tilt = about(pitch, zero, zero) @ about(zero, zero, roll)
    return tilt @ FACING @ about(zero, heading, zero)


def _sample_seen(image: Tensor) -> Tensor:
    """Mask of keypoints that are neither hidden nor truncated."""
    count, num_keypoints = image.shape[:2]
    hidden = 0.5 * torch.rand(count, 1).square()
    is_seen = torch.rand(count, num_keypoints) > hidden
    top, bottom = image[..., 1].aminmax(dim=1, keepdim=True)
    border = top + (bottom - top) * (0.3 + 0.7 * torch.rand(count, 1))
    is_cut = torch.rand(count, 1) < 0.3
    return is_seen & ~(is_cut & (image[..., 1] > border))


def _sample_heat(is_seen: Tensor) -> Tensor:
    """Confidences of a pose network, with a random level per person."""
    person = 0.2 + 0.7 * torch.rand(len(is_seen), 1)
    heat = person + 0.12 * torch.randn(is_seen.shape)
    return heat.clamp(max=0.95) * (is_seen & (heat > MIN_HEAT))


def _disturb(image: Tensor, heat: Tensor) -> Tensor:
    """Add detection errors to keypoints.

    Their distribution approximates the errors of MoveNet on photographs by
    heat, including the long tail.
    """
    side = (image.amax(1) - image.amin(1)).amax(-1)[:, None, None]
    spread = 0.062 * torch.exp(-1.75 * heat)
    # Student's t distribution.
    chi2 = torch.distributions.Chi2(torch.tensor(DEGREES_OF_FREEDOM))
    tail = (chi2.sample(heat.shape) / DEGREES_OF_FREEDOM).rsqrt()
    spread = (spread * tail.clamp(max=6))[..., None]
    bias = 0.01 * torch.randn_like(image)
    found = image + side * (bias + spread * torch.randn_like(image))
    left, right = LEGS
    is_swapped = torch.rand(len(image), 1, 1) < 0.03
    swapped = found.clone()
    swapped[:, left], swapped[:, right] = found[:, right], found[:, left]
    return torch.where(is_swapped, swapped, found)


class Training:
    """Lifter and optimizer.

    Args:
        steps: Total number of steps; the rate decays to zero.
        seed: Seed of weights and batches.
    """

    def __init__(self, steps: int, seed: int) -> None:
        self.steps = steps
        self.seed = seed
        torch.manual_seed(seed)
        self.lifter = PoseLifter()
        self.lifter.init_weights()
        self.optimizer = torch.optim.AdamW(
            self.lifter.parameters(), lr=1e-3, weight_decay=1e-4
        )
        self.step = 0

    def run_step(self, poses: Tensor, skeletons: Skeletons) -> float:
        """Perform a step and return the mean joint error in meters."""
        torch.manual_seed(self.seed * 1_000_003 + self.step)
        warm_up = min(1.0, (self.step + 1) / 200)
        for group in self.optimizer.param_groups:
            group['lr'] = 1e-3 * warm_up * (1 - self.step / self.steps)
        view = draw(poses, skeletons)
        rotations = self.lifter(view.keypoints, view.heat)
        turns, joints = skeletons.pose(rotations, view.shapes)
        true_turns, true_joints = skeletons.pose(view.rotations, view.shapes)
        error = (joints - true_joints).norm(dim=-1).mean()
        relative = (rotations - view.rotations).square().sum((-1, -2)).mean()
        absolute = (turns - true_turns).square().sum((-1, -2)).mean()
        loss = 5 * error + 0.3 * (relative + absolute)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return error.item()

    def save(self, path: Path) -> None:
        """Write the weights and the state for resuming."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f'.{path.name}.part')
        content = dict(
            state_dict=self.lifter.state_dict(),
            optimizer=self.optimizer.state_dict(),
            step=self.step,
        )
        torch.save(content, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Load a file of :meth:`save`."""
        content = torch.load(path, weights_only=True)
        self.lifter.load_state_dict(content['state_dict'])
        self.optimizer.load_state_dict(content['optimizer'])
        self.step = content['step']


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('out', type=Path)
    parser.add_argument('--steps', type=int, default=8000)
    parser.add_argument('--poses', type=int, default=100_000)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--save-interval', type=int, default=200)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    MMLogger.get_current_instance().setLevel('WARNING')
    training = Training(args.steps, args.seed)
    if args.out.exists():
        training.load(args.out)
    if training.step >= args.steps:
        return
    poses = sample_poses(args.poses, args.seed)
    skeletons = Skeletons(args.seed)
    begin, errors = time.monotonic(), []
    while training.step < args.steps:
        errors.append(training.run_step(poses, skeletons))
        is_last = training.step == args.steps
        if training.step % args.save_interval == 0 or is_last:
            training.save(args.out)
            print(  # noqa: T201
                f'step {training.step}/{args.steps}, '
                f'{1000 * np.mean(errors):.1f} mm, '
                f'{time.monotonic() - begin:.0f} s',
                flush=True,
            )
            errors.clear()


if __name__ == '__main__':
    main()
