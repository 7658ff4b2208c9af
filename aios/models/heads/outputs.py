# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Outputs of the network, the input of losses and decoding.

Legend: ``B`` images, ``Q`` encoder proposals, ``P`` persons, ``K`` points of
a part, ``D`` denoising tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from torch import Tensor

from aios.models.layers.denoising import DenoisingQueries
from aios.structures import TokenLayout, matrix_to_axis_angle


@dataclass(frozen=True)
class SMPLXParams:
    """SMPL-X parameters of persons, as predicted.

    Leading dimensions are ``(B, P)`` or, after selection, ``(N,)``.

    Args:
        body_pose: ``(..., 22, 3, 3)`` rotation of the root and 21 joints.
        left_hand_pose: ``(..., 15, 3, 3)`` relative to the mean hand.
        right_hand_pose: ``(..., 15, 3, 3)`` relative to the mean hand.
        jaw_pose: ``(..., 1, 3, 3)``.
        betas: ``(..., 10)`` shape.
        expression: ``(..., 10)``.
        camera: ``(..., 3)`` raw ``(s, tx, ty)``, see
            :func:`aios.structures.weak_perspective_to_translation`.
    """

    body_pose: Tensor
    left_hand_pose: Tensor
    right_hand_pose: Tensor
    jaw_pose: Tensor
    betas: Tensor
    expression: Tensor
    camera: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> SMPLXParams:
        """Apply a function to every tensor."""
        return SMPLXParams(
            **{f.name: function(getattr(self, f.name)) for f in fields(self)}
        )

    def take(self, take: Callable[[Tensor], Tensor]) -> SMPLXParams:
        """Parameters of some persons.

        Args:
            take: Function from ``(B, P, ...)`` to ``(M, ...)``.
        """
        return self.map(take)

    @classmethod
    def combine(
        cls,
        params: Sequence[SMPLXParams],
        function: Callable[[list[Tensor]], Tensor],
    ) -> SMPLXParams:
        """Apply a function, such as ``torch.cat``, to every parameter."""
        return cls(
            **{
                f.name: function([getattr(x, f.name) for x in params])
                for f in fields(cls)
            }
        )

    def body_model_inputs(
        self, hands_and_face: bool = True
    ) -> dict[str, Tensor]:
        """Keyword arguments of :class:`aios.body_models.SMPLXLayer`.

        Args:
            hands_and_face: Also return hand poses and expression. Without
                them the body has mean hands and a neutral face, but the
                predicted jaw pose, as published.

        Returns:
            Axis-angle poses ``(..., K, 3)`` in radians and coefficients.
        """
        pose = matrix_to_axis_angle(self.body_pose)
        inputs = {
            'betas': self.betas,
            'global_orient': pose[..., :1, :],
            'body_pose': pose[..., 1:, :],
            'jaw_pose': matrix_to_axis_angle(self.jaw_pose),
        }
        if hands_and_face:
            inputs |= {
                'left_hand_pose': matrix_to_axis_angle(self.left_hand_pose),
                'right_hand_pose': matrix_to_axis_angle(self.right_hand_pose),
                'expression': self.expression,
            }
        return inputs


@dataclass(frozen=True)
class EncoderOutputs:
    """Proposals of the encoder.

    Args:
        logits: ``(B, Q, num_classes)``.
        boxes: ``(B, Q, 4)`` cxcywh in [0, 1].
    """

    logits: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class LayerOutputs:
    """Predictions of a decoder layer.

    Coordinates are fractions of the network input, without the padding of
    the batch.  The layout determines the parts.

    Args:
        layout: Tokens of a person in this layer.
        logits: ``(B, P, num_classes)``.
        boxes: Part name to ``(B, P, 4)`` cxcywh: ``body_box``,
            ``left_hand_box``, ``right_hand_box``, ``face_box``.
        points: Part name to ``(B, P, K, 2)``: ``body_keypoints``,
            ``left_hand_keypoints``, ``right_hand_keypoints``,
            ``face_keypoints``.
        smplx: SMPL-X parameters; ``None`` in the first stage.
        dn_logits: ``(B, D, num_classes)`` of the denoising tokens.
        dn_boxes: ``(B, D, 4)``.
        keypoint_scores: ``(B, P, 17)`` probability of ``body_keypoints``
            that a pose network detects, 0 for those of the decoder.
        levels: ``(B, P)`` int64 index of the level of ``test_cfg.pyramid``
            of each person; ``None`` before levels are joined.
    """

    layout: TokenLayout
    logits: Tensor
    boxes: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    smplx: SMPLXParams | None = None
    dn_logits: Tensor | None = None
    dn_boxes: Tensor | None = None
    keypoint_scores: Tensor | None = None
    levels: Tensor | None = None


@dataclass(frozen=True)
class NetworkOutputs:
    """All outputs, as returned in ``mode='tensor'``.

    Args:
        layers: Outputs of each decoder layer; the last is decoded.
        encoder: Proposals of the encoder.
        dn_queries: Denoising queries and their targets, in training.
    """

    layers: tuple[LayerOutputs, ...]
    encoder: EncoderOutputs
    dn_queries: DenoisingQueries | None = None
