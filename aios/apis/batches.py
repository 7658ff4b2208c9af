# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Batches of frames for the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .frames import Frame

Batch = list[tuple[Frame, Any]]


def batches(items: Iterable[tuple[Frame, Any]], size: int) -> Iterator[Batch]:
    """Group consecutive items of the same image size, or without image.

    Args:
        items: Frames and their network inputs: an array, a dictionary with
            ``inputs``, or ``None``.
        size: Largest size of a batch.
    """
    batch: Batch = []
    for item in items:
        if batch and _shape(batch[0][1]) != _shape(item[1]):
            yield batch
            batch = []
        batch.append(item)
        if len(batch) == size:  # not delayed until the next item, for cameras
            yield batch
            batch = []
    if batch:
        yield batch


def _shape(data: Any) -> tuple[int, ...] | None:
    if isinstance(data, dict):
        data = data['inputs']
    return None if data is None else tuple(data.shape)
