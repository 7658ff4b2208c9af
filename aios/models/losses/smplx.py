# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Losses of SMPL-X parameters and joints (AiOS paper, Sec. 3.4).

Targets are the annotated parameters and joints; predictions include the joints
of posed bodies.

Legend: ``M`` matched persons, ``J`` = 137 joints.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from aios.models.task_modules import PARTS, Part, PersonTargets
from aios.registry import MODELS
from aios.structures import PELVIS, SMPLX_137, VIRTUAL_FOCAL
from aios.utils.choices import check_choice

from .person_loss import AvgFactor, PersonLoss, PersonPredictions

_EPS = 1e-6
_SCALE_EPS = 1e-9


def _rotation_name(part: Part) -> str:
    return 'jaw' if part.name == 'face' else part.name


_BODY = PARTS[0].rotations
_ROTATIONS = {
    'root': slice(_BODY.start, _BODY.start + 1),
    'body': slice(_BODY.start + 1, _BODY.stop),
    **{_rotation_name(part): part.rotations for part in PARTS[1:]},
}


@MODELS.register_module()
class SMPLXPoseLoss(PersonLoss):
    """L1 of rotation matrices, summed over joints and elements.

    Args:
        jaw_count: Divisor of the loss of the jaw: ``'persons'``, the number
            of persons with an annotated jaw, or ``'any'``, one if there is
            such a person, as published.

    Raises:
        ValueError: If ``jaw_count`` is unknown.
    """

    terms = tuple(f'smplx_pose_{name}' for name in _ROTATIONS)

    def __init__(self, jaw_count: str = 'persons') -> None:
        super().__init__()
        check_choice('jaw_count', jaw_count, ('persons', 'any'))
        self.jaw_count = jaw_count

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        smplx = predictions.smplx
        if smplx is None:
            return {}
        rotations = torch.cat(
            (
                smplx.body_pose,
                smplx.left_hand_pose,
                smplx.right_hand_pose,
                smplx.jaw_pose,
            ),
            dim=1,
        )
        losses = {}
        for name, rows in _ROTATIONS.items():
            if (term := f'smplx_pose_{name}') in terms:
                error = rotations[:, rows] - targets.rotations[:, rows]
                distance = error.abs().sum((-2, -1))
                valid = targets.rotations_valid[:, rows]
                losses[term] = (distance * valid).sum(-1)
        return losses

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        factors = {}
        for part in PARTS:
            valid = targets.rotations_valid[:, part.rotations] > 0
            count = valid.any(-1).sum()
            name = _rotation_name(part)
            if name == 'jaw' and self.jaw_count == 'any':
                count = count.clamp(max=1)
            factors[f'smplx_pose_{name}'] = AvgFactor(count, _EPS)
        factors['smplx_pose_root'] = factors['smplx_pose_body']
        return factors


@MODELS.register_module()
class SMPLXCoefficientLoss(PersonLoss):
    """L1 of shape and expression coefficients, summed."""

    terms = 'smplx_betas', 'smplx_expression'

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        smplx = predictions.smplx
        if smplx is None:
            return {}
        losses = {}
        for name in 'betas', 'expression':
            if (term := f'smplx_{name}') in terms:
                error = getattr(smplx, name) - getattr(targets, name)
                valid = getattr(targets, f'{name}_valid')
                losses[term] = error.abs().sum(-1) * valid
        return losses

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        return {
            'smplx_betas': AvgFactor(targets.betas_valid.sum(), _EPS),
            'smplx_expression': AvgFactor(
                targets.expression_valid.sum(), _EPS
            ),
        }


@MODELS.register_module()
class SMPLXJoint3DLoss(PersonLoss):
    """L1 of joints relative to the pelvis, and to the root of their part.

    Roots (``_ra``, root-aligned) are the wrists for hands, the neck for the
    face and the pelvis for the body, so the two losses of the body are equal.
    Persons whose root is not annotated have no such loss.
    """

    needs_joints = True
    terms = tuple(
        f'smplx_{part.name}_kp3d{suffix}'
        for suffix in ('', '_ra')
        for part in PARTS
    )

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        joints = predictions.joints3d
        if joints is None:
            return {}
        pelvis = joints[:, PELVIS : PELVIS + 1]
        error = (joints - pelvis) - targets.joints3d
        losses = {}
        for part in PARTS:
            root = SMPLX_137.index(part.root)
            part_error = error[:, part.joints]
            for suffix, value in (
                ('', part_error),
                ('_ra', part_error - error[:, root : root + 1]),
            ):
                if (term := f'smplx_{part.name}_kp3d{suffix}') in terms:
                    weight = _joints3d_weight(targets, part, bool(suffix))
                    losses[term] = (value.abs().sum(-1) * weight).sum(-1)
        return losses

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        return {
            f'smplx_{part.name}_kp3d{suffix}': _persons_with(
                _joints3d_weight(targets, part, bool(suffix))
            )
            for part in PARTS
            for suffix in ('', '_ra')
        }


@MODELS.register_module()
class SMPLXJoint2DLoss(PersonLoss):
    """L1 of joints projected into the image, in fractions of its size.

    Args:
        square_confidence: Weight joints by the square of their confidence, as
            published.  Confidences of zero and one stay the same.
    """

    needs_joints = True
    terms = tuple(f'smplx_{part.name}_kp2d' for part in PARTS)

    def __init__(self, square_confidence: bool = False) -> None:
        super().__init__()
        self.square_confidence = square_confidence

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        joints, smplx = predictions.joints3d, predictions.smplx
        if joints is None or smplx is None:
            return {}
        points = project_to_image(joints, smplx.camera, targets.image_size)
        distance = (points - targets.joints2d).abs().sum(-1)
        distance = distance * self._weight(targets)
        return {
            term: distance[:, part.joints].sum(-1)
            for part in PARTS
            if (term := f'smplx_{part.name}_kp2d') in terms
        }

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        weight = self._weight(targets)
        return {
            f'smplx_{part.name}_kp2d': _persons_with(weight[:, part.joints])
            for part in PARTS
        }

    def _weight(self, targets: PersonTargets) -> Tensor:
        weight = targets.joints2d_weight
        return weight.square() if self.square_confidence else weight


def _joints3d_weight(
    targets: PersonTargets, part: Part, is_aligned: bool
) -> Tensor:
    """``(M, K)`` weights of the joints of a part.

    Args:
        targets: Labels.
        part: The part.
        is_aligned: Whether joints are relative to the root of the part.
    """
    weight = targets.joints3d_weight[:, part.joints]
    root = SMPLX_137.index(part.root)
    if is_aligned and root != PELVIS:
        # Absent joints are zeros.
        known = targets.joints3d[:, root].any(-1, keepdim=True)
        weight = weight * known
    return weight


def _persons_with(weight: Tensor) -> AvgFactor:
    """Number of persons with a weighted joint ``(M, K)``."""
    return AvgFactor((weight.sum(-1) > 0).sum(), _EPS)


def project_to_image(
    joints: Tensor, camera: Tensor, image_size: Tensor
) -> Tensor:
    """Project with the virtual camera of the network.

    Equals adding :func:`~aios.structures.weak_perspective_to_translation` and
    projecting with :meth:`aios.structures.Camera.virtual`, but numerators and
    denominators are multiplied by the scale, which keeps precision for a
    scale near zero (a distance of 1e9 meters).

    Args:
        joints: ``(M, J, 3)`` meters, without translation.
        camera: ``(M, 3)`` raw ``(s, tx, ty)``.
        image_size: ``(M, 2)`` width and height in pixels.

    Returns:
        ``(M, J, 2)`` fractions of width and height.
    """
    scale = camera[:, None, :1] + _SCALE_EPS
    plane = joints[..., :2] * scale + camera[:, None, 1:]
    depth = joints[..., 2:] * scale + 1
    focal = VIRTUAL_FOCAL / image_size[:, None]
    return focal * plane / depth + 0.5
