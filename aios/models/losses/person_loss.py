# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What losses of matched persons have in common.

Legend: ``M`` matched persons of a batch, ``K`` keypoints of a part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmengine.model import BaseModule
from torch import Tensor

from aios.models.heads.outputs import LayerOutputs, SMPLXParams
from aios.models.task_modules import Matches, PersonTargets


@dataclass(frozen=True)
class AvgFactor:
    """What a sum over persons is divided by.

    Args:
        count: Scalar; where it is zero the loss is zero.
        eps: Added to it.
    """

    count: Tensor
    eps: float = 0.0


@dataclass(frozen=True)
class PersonPredictions:
    """What a decoder layer says about the matched persons.

    Args:
        boxes: Box tokens to ``(M, 4)`` cxcywh, fractions of the image.
        points: Keypoint tokens to ``(M, K, 2)``.
        smplx: SMPL-X parameters ``(M, ...)``, if the layer has any.
        joints3d: ``(M, 137, 3)`` metres without translation, if wanted.
    """

    boxes: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    smplx: SMPLXParams | None = None
    joints3d: Tensor | None = None

    @classmethod
    def gather(
        cls,
        layer: LayerOutputs,
        matches: Matches,
        smplx: SMPLXParams | None = None,
        joints3d: Tensor | None = None,
    ) -> PersonPredictions:
        """Take the matched persons out of a layer's outputs.

        Args:
            layer: Outputs, at least float32.
            matches: Who is matched.
            smplx: Parameters of the matched persons.
            joints3d: Joints of the matched persons.
        """
        return cls(
            {name: matches.take(x) for name, x in layer.boxes.items()},
            {name: matches.take(x) for name, x in layer.points.items()},
            smplx,
            joints3d,
        )


class PersonLoss(BaseModule):
    """A group of losses of matched persons.

    Losses come as one number for each person, so that the criterion sums and
    averages them.
    """

    terms: tuple[str, ...] = ()
    """Names of the losses, without the prefix ``loss_``."""

    needs_joints: bool = False
    """Whether they look at ``predictions.joints3d``: bodies are only posed
    where such a loss has a weight."""

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """Losses that are wanted and that the predictions allow.

        Args:
            predictions: Of ``M`` persons.
            targets: Of the same persons.
            terms: Those of :attr:`terms` that have a weight.

        Returns:
            Terms to ``(M,)``.
        """
        raise NotImplementedError

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """What each loss is divided by.

        Args:
            targets: All persons of the batch.

        Returns:
            All terms to their factor.
        """
        raise NotImplementedError
