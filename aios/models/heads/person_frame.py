# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The body box of a person as a frame of reference.

The published head predicts SMPL-X parameters from token contents alone, and
the camera for the whole image.  Its targets therefore depend on the position
of a person, and the scale of a distant person is a few thousandths.  Targets
relative to the box depend neither on the position nor on the image size.

Legend: ``B`` images, ``P`` persons, ``T`` tokens of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from aios.models.layers.token_parts import assemble_parts, box_parts
from aios.structures import VIRTUAL_FOCAL, TokenLayout

BOX_FEATURES = 5
"""Number of features of :meth:`PersonFrame.describe`."""

BODY_EXTENT = 1.7
"""Length in meters of the longer side of a box for a camera output of zero."""

_MIN_SIDE = 1.0  # pixels
_GAIN = 4.0  # brings offsets inside a box near the unit variance of contents


@dataclass(frozen=True)
class PersonFrame:
    """Body boxes in pixels.

    Args:
        center: ``(B, P, 2)`` pixels from the center of the image.
        size: ``(B, P, 2)`` width and height in pixels.
        image_size: ``(B, 1, 2)`` or ``(B, P, 2)`` width and height in
            pixels.
    """

    center: Tensor
    size: Tensor
    image_size: Tensor

    @classmethod
    def from_boxes(cls, boxes: Tensor, image_sizes: Tensor) -> PersonFrame:
        """Frames of body boxes, without gradients.

        Args:
            boxes: ``(B, P, 4)`` cxcywh, fractions of the image.
            image_sizes: ``(B, 2)`` width and height in pixels.
        """
        extent = image_sizes[:, None].to(boxes)
        boxes = boxes.detach()
        center = (boxes[..., :2] - 0.5) * extent
        return cls(center, boxes[..., 2:] * extent, extent)

    def take(self, take: Callable[[Tensor], Tensor]) -> PersonFrame:
        """Frames of some persons, ``B = 1`` and ``P = M``.

        Args:
            take: Function from ``(B, P, ...)`` to ``(M, ...)``.
        """
        extent = self.image_size.expand_as(self.center)
        return PersonFrame(
            *(take(x)[None] for x in (self.center, self.size, extent))
        )

    @property
    def side(self) -> Tensor:
        """Longer side in pixels, ``(B, P, 1)``."""
        return self.size.amax(-1, keepdim=True).clamp(min=_MIN_SIDE)

    def describe(self) -> Tensor:
        """Position, size and shape of the boxes in their images.

        Returns:
            ``(B, P, 5)``: center and side in units of half the longer side
            of the image (the side as a logarithm), width and height in
            units of the side.
        """
        half = self.image_size.amax(-1, keepdim=True) / 2
        return torch.cat(
            (
                self.center / half,
                (self.side / half).log(),
                self.size / self.side,
            ),
            dim=-1,
        )

    def place(
        self,
        layout: TokenLayout,
        boxes: Mapping[str, Tensor],
        points: Mapping[str, Tensor],
    ) -> Tensor:
        """Positions of tokens relative to the box.

        Args:
            layout: Order of the tokens.
            boxes: Part name to ``(B, P, 4)`` cxcywh, fractions of the image.
            points: Part name to ``(B, P, K, 2)``, fractions of the image.

        Returns:
            ``(B, P, T, 2)`` centers of the tokens, without gradients.
        """
        centers = torch.stack(
            [boxes[name][..., :2] for name in box_parts(layout)], dim=2
        )
        keypoints = centers[:, :, :0]
        if points:
            keypoints = torch.cat(list(points.values()), dim=2)
        tokens = assemble_parts(layout, centers, keypoints).detach()
        pixels = (tokens - 0.5) * self.image_size[:, None]
        offsets = pixels - self.center[:, :, None]
        return offsets / self.side[:, :, None] * _GAIN

    def camera(self, raw: Tensor) -> Tensor:
        """Convert a camera relative to the box to the camera of the image.

        Args:
            raw: ``(B, P, 3)``: logarithm of the scale, and offset of the
                body's origin from the box center in units of the box side.

        Returns:
            ``(B, P, 3)`` raw ``(s, tx, ty)``, see
            :func:`aios.structures.weak_perspective_to_translation`.
        """
        scale = raw[..., :1].exp() * self.side / BODY_EXTENT
        origin = self.center + raw[..., 1:] * self.side
        return torch.cat((scale, origin), dim=-1) / VIRTUAL_FOCAL
