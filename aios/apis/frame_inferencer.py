# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Common part of the inferencers: options, batches and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from aios.results import FrameResult

from .batches import Batch, batches
from .cameras import CameraModel
from .frames import Frame, FrameSource
from .instance_filter import InstanceFilter
from .sources import open_sources
from .threads import prefetch


class FrameInferencer:
    """Base class of the inferencers; see :class:`AiOSInferencer`.

    Attributes:
        instance_filter: Filter of the persons.
        camera: The real camera.
        batch_size: Images of the same size at once.
    """

    def _set_options(
        self,
        instance_filter: InstanceFilter,
        camera: CameraModel,
        batch_size: int,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size must be >= 1, got {batch_size}')
        self.instance_filter = instance_filter
        self.camera = camera
        self.batch_size = batch_size

    def stream(
        self,
        inputs: Any,
        batch_size: int | None = None,
        with_vertices: bool = False,
        *,
        score_thr: float | None = None,
        max_persons: int | None = None,
        nms_iou: float | None = None,
        **reading: Any,
    ) -> Iterator[FrameResult]:
        """Find persons frame by frame, in constant memory.

        A thread reads and prepares frames in advance.

        Args:
            inputs: See :func:`~aios.apis.sources.open_sources`.
            batch_size: Default: that of the inferencer; 1 for cameras.
            with_vertices: Also return the meshes, ``(n, V, 3)``.
            score_thr: See :class:`InstanceFilter`; default of these three:
                that of the inferencer.
            max_persons: See :class:`InstanceFilter`.
            nms_iou: See :class:`InstanceFilter`.
            **reading: Options of :func:`~aios.apis.sources.open_sources`.

        Yields:
            Results, also of frames without persons.

        Raises:
            ValueError: If an image cannot be read.
        """
        for _, result, _ in self._results(
            open_sources(inputs, **reading),
            batch_size,
            with_vertices=with_vertices,
            score_thr=score_thr,
            max_persons=max_persons,
            nms_iou=nms_iou,
        ):
            yield result

    def predict(
        self,
        frames: Iterable[Frame],
        batch_size: int | None = None,
        live: bool = False,
        is_known: Callable[[int], bool] | None = None,
        *,
        with_vertices: bool = False,
        **choice: float | int | None,
    ) -> Iterator[tuple[Frame, FrameResult | None, Any]]:
        """Find the persons of frames, which a thread prepares in advance.

        Args:
            frames: The frames; their order is kept.
            batch_size: Default: that of the inferencer. Only consecutive
                images of the same size form a batch, so results do not depend
                on the other images.
            live: Skip frames that wait too long.
            is_known: Whether to skip the network for a frame, by its index.
            with_vertices: Also compute the meshes.
            **choice: Arguments of :class:`InstanceFilter`; default: those of
                the inferencer.

        Yields:
            The frame, its persons, and the sample of the model (``None``
            without PyTorch); the latter two are ``None`` for skipped frames
            and those without an image.
        """
        chosen = self._filter(**choice)
        size = 1 if live else batch_size or self.batch_size
        if size < 1:
            raise ValueError(f'batch_size must be >= 1, got {size}')

        def prepared(frame: Frame) -> tuple[Frame, Any]:
            if frame.image is None or (is_known and is_known(frame.index)):
                return frame, None
            return frame, self._prepare(frame)

        items = map(prepared, map(self.camera.undistorted, frames))
        with closing(prefetch(items, 1 if live else 2 * size, live)) as ready:
            for batch in batches(ready, size):
                if batch[0][1] is None:
                    yield from ((frame, None, None) for frame, _ in batch)
                    continue
                found = self._predict_batch(batch, chosen, with_vertices)
                for (frame, _), (result, sample) in zip(
                    batch, found, strict=True
                ):
                    best = result.select(slice(chosen.max_persons))
                    placed = self.camera.place(best, frame.focal_length)
                    yield frame, placed, sample

    def _prepare(self, frame: Frame) -> Any:
        """Input of the network, see :func:`~aios.apis.batches.batches`."""
        raise NotImplementedError

    def _predict_batch(
        self, batch: Batch, chosen: InstanceFilter, with_vertices: bool
    ) -> Iterator[tuple[FrameResult, Any]]:
        """Persons before the virtual camera, best first, and samples."""
        raise NotImplementedError

    def _results(
        self,
        sources: Sequence[FrameSource],
        batch_size: int | None,
        **options: Any,
    ) -> Iterator[tuple[Frame, FrameResult, Any]]:
        """Results of sources; unreadable frames raise an error."""
        for source in sources:
            for frame, result, sample in self.predict(
                readable(source), batch_size, source.live, **options
            ):
                if result is not None:
                    yield frame, result, sample

    def _filter(self, **given: float | int | None) -> InstanceFilter:
        changed: Any = {k: x for k, x in given.items() if x is not None}
        return replace(self.instance_filter, **changed)


def readable(source: FrameSource) -> Iterator[Frame]:
    """Frames of a source.

    Raises:
        ValueError: If one cannot be read.
    """
    for frame in source.frames():
        if frame.image is None:
            raise ValueError(source.problems[-1])
        yield frame
