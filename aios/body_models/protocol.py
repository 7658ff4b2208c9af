# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Interface of body models for tracking, export and drawing."""

from __future__ import annotations

from typing import Any, Protocol


class BodyModel(Protocol):
    """A function from SMPL-X parameters to joints and vertices.

    The arguments are those of
    :meth:`aios.body_models.BodyModelBase.forward`.  Attributes are tensors,
    or arrays without PyTorch.
    """

    @property
    def faces(self) -> Any:
        """Corners of the triangles ``(F, 3)``."""

    @property
    def lbs_weights(self) -> Any:
        """Skinning weights ``(V, J)``."""

    @property
    def v_template(self) -> Any:
        """Rest shape ``(V, 3)``, meters."""

    @property
    def parents(self) -> Any:
        """Parent of each joint ``(J,)``, -1 for the root."""

    @property
    def hand_mean(self) -> Any:
        """Mean pose of the left and right hand, ``(2, 15, 3)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Joints and vertices, see :class:`aios.body_models.SMPLXOutput`."""
