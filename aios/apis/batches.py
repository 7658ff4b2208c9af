# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frames that go through the network together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .frames import Frame

__all__ = ['batches']


def batches(
    items: Iterable[tuple[Frame, Any]], size: int
) -> Iterator[list[tuple[Frame, Any]]]:
    """Consecutive items whose images have the same size, or none.

    Args:
        items: Frames, and the image as the network takes it: an array, a
            dictionary with ``inputs``, or ``None``.
        size: Most items of a batch.
    """
    batch: list[tuple[Frame, Any]] = []
    for item in items:
        if batch and _shape(batch[0][1]) != _shape(item[1]):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == size:  # at once: cameras do not wait
            yield batch
            batch = []
    if batch:
        yield batch


def _shape(data: Any) -> tuple[int, ...] | None:
    if isinstance(data, dict):
        data = data['inputs']
    return None if data is None else tuple(data.shape)
