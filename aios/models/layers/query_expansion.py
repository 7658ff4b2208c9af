# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Growing a person's tokens between two stages (AiOS paper, Sec. 3.2).

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
"""Everywhere in the network, as published (MMDetection's default is 1e-5).

It keeps reference boxes in about (0.001, 0.999) of the image.
"""


class PartQueries(nn.Module):
    """What is learned about the tokens of one part.

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

    Tokens of the previous stage stay what they are.  A new token takes the
    content of its parent box plus a learned embedding; it starts at the
    centre of the parent, moved by a branch of the head, with a learned
    fraction of the parent's size.

    Args:
        previous: Tokens that are there.
        following: Tokens wanted; contains the previous ones.
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
        centre_branches: Mapping[str, nn.Module],
        hints: PoseHints | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Expand.

        Args:
            content: ``(B, P, T, C)``, not normalised.
            boxes: ``(B, P, T, 4)`` refined boxes, cxcywh in (0, 1).
            centre_branches: For each new part, the module that moves the
                centre: content ``(..., C)`` to logit offsets ``(..., 2)``.
            hints: Where a pose network sees the persons.

        Returns:
            Content and boxes with the tokens of the following stage.
        """
        parts = []
        for part in self.following.parts:
            place = self.previous.slices.get(part.name)
            if place is not None:
                parts.append((content[:, :, place], boxes[:, :, place]))
            else:
                assert part.parent is not None  # every stage has the root
                parent = self.previous.slices[part.parent]
                parts.append(
                    self._grow(
                        part,
                        content[:, :, parent],
                        boxes[:, :, parent],
                        centre_branches[part.name],
                        hints,
                    )
                )
        contents, all_boxes = zip(*parts, strict=True)
        return torch.cat(contents, dim=2), torch.cat(all_boxes, dim=2)

    def _grow(
        self,
        part: PartTokens,
        content: Tensor,
        boxes: Tensor,
        centre_branch: nn.Module,
        hints: PoseHints | None,
    ) -> tuple[Tensor, Tensor]:
        """Tokens of a new part from their parent, ``(B, P, 1, ...)``."""
        queries = self.get_submodule(part.name)
        content = content + queries.content
        centre, size = boxes.split(2, dim=-1)
        centre = (
            centre_branch(content)
            + inverse_sigmoid(centre, eps=INVERSE_SIGMOID_EPS)
        ).sigmoid()
        if hints is not None:
            centre, evidence = hints.start(part.name, centre)
            content = content if evidence is None else content + evidence
        return content, torch.cat(
            (centre, size * queries.size.sigmoid()), dim=-1
        )
