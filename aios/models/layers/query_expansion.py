# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Expansion of the tokens of a person between stages (AiOS, Sec. 3.2).

Legend: ``B`` images, ``P`` persons, ``T`` tokens of a person, ``n`` tokens
of a part.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmdet.models.layers import inverse_sigmoid
from mmengine.model import BaseModule
from torch import Tensor, nn

from aios.structures import PartTokens, TokenLayout

from .pose_prior import PoseHints

INVERSE_SIGMOID_EPS = 1e-3
"""Used in the whole network, as published (MMDetection's default is 1e-5).

It keeps reference boxes in about (0.001, 0.999) of the image.
"""


def add_in_logit_space(coordinates: Tensor, offsets: Tensor) -> Tensor:
    """Add offsets to the logits of coordinates in [0, 1].

    Args:
        coordinates: Any shape.
        offsets: The same shape.

    Returns:
        The same shape, in (0, 1).
    """
    logits = inverse_sigmoid(coordinates, eps=INVERSE_SIGMOID_EPS)
    return (offsets + logits).sigmoid()


class PartQueries(nn.Module):
    """Learned queries of the tokens of one part.

    Args:
        num_tokens: ``n``.
        embed_dims: Width of a token.

    Attributes:
        content: ``(n, C)``, added to the content of the parent.
        size: ``(n, 2)``, logit of width and height relative to the parent.
    """

    def __init__(self, num_tokens: int, embed_dims: int) -> None:
        super().__init__()
        self.content = nn.Parameter(torch.empty(num_tokens, embed_dims))
        self.size = nn.Parameter(torch.empty(num_tokens, 2))
        nn.init.xavier_uniform_(self.content)
        nn.init.xavier_uniform_(self.size)


class QueryExpansion(BaseModule):
    """Add the tokens of the next stage to those of the previous one.

    Tokens of the previous stage do not change.  The content of a new token is
    that of its parent box plus a learned embedding; its box has the center of
    the parent, moved by a branch of the head, and a learned fraction of the
    parent's size.

    Args:
        previous: Layout of the previous stage.
        following: Layout of the next stage, with all previous tokens.
        embed_dims: Width of a token.
    """

    def __init__(
        self, previous: TokenLayout, following: TokenLayout, embed_dims: int
    ) -> None:
        super().__init__()
        self.previous = previous
        self.following = following
        for part in following.new_parts(previous):
            self.add_module(part.name, PartQueries(len(part), embed_dims))

    def forward(
        self,
        content: Tensor,
        boxes: Tensor,
        center_branches: Mapping[str, nn.Module],
        hints: PoseHints | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Expand the tokens.

        Args:
            content: ``(B, P, T, C)``, not normalized.
            boxes: ``(B, P, T, 4)`` refined boxes, cxcywh in (0, 1).
            center_branches: For each new part a module from content
                ``(..., C)`` to logit offsets ``(..., 2)`` of the center.
            hints: Detections of a pose network.

        Returns:
            Content and boxes with the tokens of the following stage.
        """
        parts: dict[str, tuple[Tensor, Tensor]] = {}
        for part in self.following.parts:
            tokens = self.previous.slices.get(part.name)
            if tokens is not None:
                parts[part.name] = content[:, :, tokens], boxes[:, :, tokens]
            else:
                assert part.parent is not None  # every stage has the root
                # Parents precede; they are new as well if a stage is skipped.
                parts[part.name] = self._grow(
                    part,
                    *parts[part.parent],
                    center_branches[part.name],
                    hints,
                )
        contents, all_boxes = zip(*parts.values(), strict=True)
        return torch.cat(contents, dim=2), torch.cat(all_boxes, dim=2)

    def _grow(
        self,
        part: PartTokens,
        content: Tensor,
        boxes: Tensor,
        center_branch: nn.Module,
        hints: PoseHints | None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens of a new part from their parent, ``(B, P, 1, ...)``."""
        queries = self.get_submodule(part.name)
        content = content + queries.content
        center, size = boxes.split(2, dim=-1)
        center = add_in_logit_space(center, center_branch(content))
        if hints is not None:
            center, evidence = hints.start(part.name, center)
            content = content if evidence is None else content + evidence
        return content, torch.cat(
            (center, size * queries.size.sigmoid()), dim=-1
        )
