# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Split token tensors by part and assemble them.

A tensor of tokens is ``(B, P, T, ...)``.  As parts are contiguous, splitting
and concatenation suffice, without index tensors and their device copies.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from aios.structures import TokenLayout


def box_parts(layout: TokenLayout) -> tuple[str, ...]:
    """Names of the parts that are box tokens, in token order."""
    return tuple(part.name for part in layout.parts if part.is_box)


def point_parts(layout: TokenLayout) -> tuple[str, ...]:
    """Names of the parts that are keypoints, in token order."""
    return tuple(part.name for part in layout.parts if not part.is_box)


def split_parts(tokens: Tensor, layout: TokenLayout) -> dict[str, Tensor]:
    """Part name to its tokens ``(B, P, K, ...)``, in the layout's order.

    One split instead of a slice per part, because gradients of slices are
    tensors of the full size.

    Args:
        tokens: ``(B, P, T, ...)``.
        layout: Order of the ``T`` tokens.
    """
    sizes = [len(part) for part in layout.parts]
    names = [part.name for part in layout.parts]
    return dict(zip(names, tokens.split(sizes, dim=2), strict=True))


def select_parts(
    tokens: Tensor, layout: TokenLayout, names: Iterable[str]
) -> Tensor:
    """Tokens of the named parts, in the order of the layout.

    Args:
        tokens: ``(B, P, T, ...)``.
        layout: Order of the ``T`` tokens.
        names: Names of parts; their order does not matter.

    Returns:
        ``(B, P, K, ...)``.
    """
    selected = set(names)
    parts = [
        part
        for name, part in split_parts(tokens, layout).items()
        if name in selected
    ]
    return torch.cat(parts, dim=2)


def assemble_parts(
    layout: TokenLayout, boxes: Tensor, points: Tensor
) -> Tensor:
    """Merge box and keypoint tokens in the order of the layout.

    The inverse of :func:`select_parts` with :func:`box_parts` and with
    :func:`point_parts`.

    Args:
        layout: Order of the result.
        boxes: ``(B, P, K, ...)`` all box tokens.
        points: ``(B, P, T - K, ...)`` all keypoint tokens.

    Returns:
        ``(B, P, T, ...)``.
    """
    box_sizes = [len(layout.part(name)) for name in box_parts(layout)]
    point_sizes = [len(layout.part(name)) for name in point_parts(layout)]
    box_pieces = iter(boxes.split(box_sizes, dim=2))
    point_pieces = iter(points.split(point_sizes, dim=2))
    return torch.cat(
        [
            next(box_pieces if part.is_box else point_pieces)
            for part in layout.parts
        ],
        dim=2,
    )
