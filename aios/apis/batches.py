# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frames that go through the network together."""

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
    """Send frames through a network; a thread prepares them ahead of it.

    Args:
        frames: In the order in which they come out again.
        prepare: Makes of a frame what the network takes, see
            :func:`batches`.
        predict: Gives two results for each frame of a batch.
        batch_size: Most frames of a batch.
        live: Take one frame at a time, and skip those that wait too long.
        is_known: Whether the network need not look at a frame, by its index.

    Yields:
        The frame and its results, ``None`` for frames without an image and
        those that are known.

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
            found: Iterable[tuple[Any, Any]] = [(None, None)] * len(batch)
            if batch[0][1] is not None:
                found = predict(batch)
            for (frame, _), results in zip(batch, found, strict=True):
                yield frame, *results


def batches(items: Iterable[tuple[Frame, Any]], size: int) -> Iterator[Batch]:
    """Consecutive items whose images have the same size, or none.

    Args:
        items: Frames, and the image as the network takes it: an array, a
            dictionary with ``inputs``, or ``None``.
        size: Most items of a batch.
    """
    batch: Batch = []
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
