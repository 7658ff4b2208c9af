# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Post-process and write predicted frames one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from aios.body_models import BodyPoser
from aios.results import FrameResult
from aios.tracking import with_appearance

from .post_processing import FrameTransform
from .sources import Frame, FrameSource
from .store import ShardStore
from .writers import FrameWriter


@dataclass
class FrameConsumer:
    """Post-process frames in order, write their files, and store them.

    Args:
        source: Source of the frames.
        raw: Shards of the output of the network. Frames in it are not
            predicted again, only post-processed and written.
        writers: Writers of files.
        poser: Computes bodies from parameters.
        steps: Post-processing of the frames.
        display: A last step that only the writers see, not ``final``.
        pose_always: Whether the steps change parameters, so that joints must
            be computed even if no mesh is written.
        final: Store of processed frames, if needed. Those of an earlier run
            are the same.
        appearance: Whether to store the appearance of persons for a tracker.
        keep_files: Whether files of an earlier run are kept.

    Attributes:
        unread: Names of frames that could not be read; the problems of the
            source say why.
        unread_before: Those of an earlier run, or of another process.
    """

    source: FrameSource
    raw: ShardStore
    writers: Sequence[FrameWriter]
    poser: BodyPoser
    steps: Sequence[FrameTransform] = ()
    display: FrameTransform | None = None
    pose_always: bool = False
    final: ShardStore | None = None
    keep_files: bool = True
    appearance: bool = False

    def __post_init__(self) -> None:
        self.is_written: Callable[[int], bool] = self.raw.snapshot()
        self.stored = Replay(self.raw.frames())
        if self.final is not None:
            self._is_final = self.final.snapshot()
        self.unread: list[str] = []
        self.unread_before: list[str] = []

    def wants_image(self, index: int) -> bool:
        """Whether the network or a writer needs the image of a frame."""
        return not self.is_written(index) or any(
            writer.needs_image for writer in self._todo(index)
        )

    def __call__(self, item: tuple[Frame, FrameResult | None]) -> None:
        """Process a frame and the result of the network."""
        frame, result = item
        is_written = self.is_written(frame.index)
        if is_written:
            result = self.stored.find(frame.index)
        elif self.appearance and result is not None:
            image = cast(np.ndarray, frame.image)
            result = with_appearance(result, image)
        if result is not None:
            self._write(frame, result)
        else:
            names = self.unread_before if is_written else self.unread
            names.append(frame.name)
        # Last, as frames in a shard count as written.
        if not is_written:
            self.raw.append(frame.index, result)

    def _todo(self, index: int) -> list[FrameWriter]:
        """Writers that have not written a frame yet."""
        if not (self.is_written(index) and self.keep_files):
            return list(self.writers)
        name = self.source.frame_name(index)
        return [
            writer
            for writer in self.writers
            if not (writer.per_frame and writer.is_done(name))
        ]

    def _write(self, frame: Frame, result: FrameResult) -> None:
        for step in self.steps:
            result = step(result)
        shown = result if self.display is None else self.display(result)
        todo = self._todo(frame.index)
        shown = write_frame(frame, shown, todo, self.poser, self.pose_always)
        if self.final is not None and not self._is_final(frame.index):
            kept = shown if self.display is None else result
            self.final.append(frame.index, kept.with_fields(vertices=None))


def write_frame(
    frame: Frame,
    result: FrameResult,
    writers: Sequence[FrameWriter],
    poser: BodyPoser,
    pose_always: bool = False,
) -> FrameResult:
    """Pass a frame to writers.

    Args:
        frame: With an image, if a writer needs one.
        result: Its persons.
        writers: Writers of files.
        poser: Computes bodies from parameters.
        pose_always: Compute joints even if no mesh is needed.

    Returns:
        The persons as written.
    """
    vertices = any(writer.needs_vertices for writer in writers)
    if vertices or pose_always:
        result = result.posed(poser, vertices)
    image = None
    if frame.image is not None and any(w.needs_image for w in writers):
        image = np.ascontiguousarray(frame.image[..., ::-1])
    for writer in writers:
        writer.write(result, image)
    return result


class Replay:
    """Find frames by ascending number.

    Args:
        frames: The frames with their numbers, which ascend.
    """

    def __init__(self, frames: Iterator[tuple[int, FrameResult]]) -> None:
        self._frames = frames
        self._next: tuple[int, FrameResult] | None = next(self._frames, None)

    def find(self, index: int) -> FrameResult | None:
        """A frame, if there is one of that number."""
        while self._next is not None and self._next[0] < index:
            self._next = next(self._frames, None)
        if self._next is None or self._next[0] != index:
            return None
        return self._next[1]
