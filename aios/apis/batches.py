# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Batches of frames for the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

from .frames import Frame
from .threads import prefetch

Batch = list[tuple[Frame, Any]]


def predict_frames(
    frames: Iterable[Frame],
    prepare: Callable[[Frame], Any],
    predict: Callable[[Batch], Iterable[tuple[Any, Any]]],
    batch_size: int,
    live: bool = False,
    is_known: Callable[[int], bool] | None = None,
) -> Iterator[tuple[Frame, Any, Any]]:
    """Run a network on frames, which a thread prepares in advance.

    Args:
        frames: The frames; their order is kept.
        prepare: Converts a frame to an input of the network, see
            :func:`batches`.
        predict: Returns two results for each frame of a batch.
        batch_size: Largest size of a batch.
        live: Process one frame at a time, and skip frames that wait too long.
        is_known: Whether to skip the network for a frame, by its index.

    Yields:
        The frame and its results, ``None`` for frames without an image and
        for known ones.

    Raises:
        ValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f'batch_size must be >= 1, got {batch_size}')
    size, depth = (1, 1) if live else (batch_size, 2 * batch_size)

    def prepared_frame(frame: Frame) -> tuple[Frame, Any]:
        if frame.image is None or (is_known and is_known(frame.index)):
            return frame, None
        return frame, prepare(frame)

    prepared = prefetch(map(prepared_frame, frames), depth, live)
    with closing(prepared):
        for batch in batches(prepared, size):
            outputs: Iterable[tuple[Any, Any]] = [(None, None)] * len(batch)
            if batch[0][1] is not None:
                outputs = predict(batch)
            for (frame, _), results in zip(batch, outputs, strict=True):
                yield frame, *results


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
