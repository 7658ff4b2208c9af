# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What tracking, export and drawing need of a body model."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ['BodyModel']


class BodyModel(Protocol):
    """Anything that turns SMPL-X parameters into joints and vertices.

    The arguments are those of
    :meth:`aios.body_models.BodyModelBase.forward`.  Attributes are tensors,
    or arrays where PyTorch is not used.
    """

    faces: Any
    lbs_weights: Any
    v_template: Any
    parents: Any
    hand_mean: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Joints and vertices, see :class:`aios.body_models.SMPLXOutput`."""
