# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From sources to folders of results, also after an interruption.

Reading, the network and writing overlap: frames are read and prepared in one
thread, and files written in another.  What the network says goes to shards
(:mod:`aios.apis.store`).  A run that goes on takes frames from there instead
of from the network and does all that follows again; that is cheap, exact,
and as well how several processes share the work.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.export import FrameResult

from .inferencer import AiOSInferencer
from .processing import (
    LOW_SCORE,
    BodyPoser,
    Processing,
    make_processing,
)
from .record import RunRecord, digest, file_digest, prepare_folder
from .sources import Frame, FrameSource
from .store import ShardStore, merge_shards
from .threads import BackgroundConsumer
from .world import World
from .writers import (
    FrameWriter,
    MeshWriter,
    ParameterWriter,
    PictureWriter,
    VideoWriter,
)

__all__ = ['Outputs', 'Summary', 'run_inference']


@dataclass(frozen=True)
class Outputs:
    """Which files are wanted besides ``params.npz``.

    Args:
        vis: People over their pictures, ``vis/NAME.jpg`` or ``vis.mp4``.
        params: For pictures ``params/NAME.npz``.
        mesh: ``'obj'`` or ``'ply'``: ``mesh/NAME_personK.obj``.
        glb: Animation of all, ``people.glb``.
        bvh: Skeletons, ``bvh/personK.bvh``.
        json: Boxes and key-points, ``keypoints.json``.
    """

    vis: bool = True
    params: bool = True
    mesh: str | None = None
    glb: bool = False
    bvh: bool = False
    json: bool = False


@dataclass
class Summary:
    """What a run found.

    Args:
        frames: Number of frames with results.
        people: Number of people in all of them.
        problems: What could not be read.
        was_complete: Whether there was nothing left to do.
    """

    frames: int = 0
    people: int = 0
    problems: list[str] = field(default_factory=list)
    was_complete: bool = False


def run_inference(
    inferencer: AiOSInferencer,
    sources: Sequence[FrameSource],
    out_dir: str | Path,
    *,
    outputs: Outputs = Outputs(),  # noqa: B008 - immutable
    processing: Processing = Processing(),  # noqa: B008
    batch_size: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    world: World | None = None,
) -> Summary:
    """Find people, and write what was found.

    With one source results are in ``out_dir``; of several, those of videos
    are in ``out_dir/STEM``.

    Args:
        inferencer: Finds people.
        sources: See :func:`~aios.apis.sources.open_sources`.
        out_dir: Folder for the results; empty, or not there yet.
        outputs: Which files are wanted.
        processing: What happens to people before they are written.
        batch_size: Instead of that of the inferencer.
        overwrite: Replace results of an earlier run.
        resume: Go on with an earlier run.
        world: Processes that share the work.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the run there is another one, or nothing was readable.
        OSError: For example if the disk is full; what was written stays, and
            the run can be resumed.
    """
    world = world or World()
    root = Path(out_dir)
    folders = _folders(sources)
    record = RunRecord(
        _fingerprint(inferencer, sources, processing),
        asdict(outputs) | asdict(processing),
        folders,
    )
    if resume and any(source.live for source in sources):
        raise ValueError('a camera cannot be resumed')
    earlier = None
    if world.is_main:
        earlier = prepare_folder(root, record, overwrite, resume)
    world.wait()
    if not world.is_main:
        earlier = RunRecord.load(root)
    if earlier is not None and earlier.complete:
        return Summary(was_complete=True)
    summary = Summary()
    for source, folder in zip(sources, folders, strict=True):
        job = _Job(inferencer, source, root / folder, outputs, processing)
        job.batch_size = batch_size
        # Files of an earlier run stay if they would become the same.
        job.keep_files = (
            earlier is None or earlier.presentation == record.presentation
        )
        if world.size > 1:
            job.run(*world.share(len(source)), alone=False)
            world.wait()
        if world.is_main:
            job.run()
            job.finish(summary)
        world.wait()
    if world.is_main:
        record.complete = True
        record.save(root)
    return summary


class _Job:
    """Work on one source."""

    keep_files = True
    batch_size: int | None = None

    def __init__(
        self,
        inferencer: AiOSInferencer,
        source: FrameSource,
        folder: Path,
        outputs: Outputs,
        processing: Processing,
    ) -> None:
        self.inferencer = inferencer
        self.source = source
        self.folder = folder
        self.outputs = outputs
        self.processing = processing
        body_model = inferencer.model.bbox_head.body_model
        self.pose = BodyPoser(body_model)
        self.metadata = dict(
            fps=float(source.fps),
            source=source.name,
            body_model=str(
                inferencer.model.bbox_head.body_model_cfg.get('model_path')
                or 'smplx'
            ),
            model=Path(getattr(inferencer.cfg, 'filename', None) or '').stem,
        )
        self.skipped: list[str] = []

    def run(
        self, begin: int = 0, end: int | None = None, alone: bool = True
    ) -> None:
        """Work on some of the frames.

        Args:
            begin: First frame.
            end: First frame that is left out.
            alone: Whether no other process works on this source; otherwise
                only what concerns single frames is done.
        """
        self.raw = ShardStore(self.folder / 'parts/raw', self.metadata)
        is_written = self.raw.snapshot()
        writers = self._writers(alone)
        with ExitStack() as stack:
            for writer in writers:
                stack.callback(writer.close)
            stack.callback(self.raw.flush)
            consumer = _Consumer(self, writers, is_written, alone)
            if consumer.final is not None:
                stack.callback(consumer.final.flush)
            frames = self.source.frames(
                lambda index: (
                    not is_written(index) or consumer.wants_image(index)
                ),
                begin,
                end,
            )
            # Meshes are made from the parameters, for frames from shards as
            # for others.
            found = stack.enter_context(
                closing(self._predict(frames))  # type: ignore[type-var]
            )
            bar = stack.enter_context(
                tqdm(
                    total=max(len(self.source), self.raw.count) or None,
                    initial=self.raw.count,
                    unit='frame',
                    desc=Path(self.source.name).name,
                    disable=not self.inferencer.show_progress,
                )
            )
            writer_thread = stack.enter_context(
                BackgroundConsumer(consumer, depth=4)
            )
            for frame, result, _ in found:
                writer_thread.put((frame, result))
                bar.update(not is_written(frame.index))
        self.skipped = consumer.skipped
        self.final = consumer.final or self.raw

    def _predict(self, frames: Iterator[Frame]) -> Iterator[Any]:
        choice = {}
        if self.processing.in_order:
            lowest = min(self.inferencer.selection.score_thr, LOW_SCORE)
            choice['score_thr'] = lowest
        return self.inferencer.predict(
            frames, self.batch_size, self.source.live, **choice
        )

    def _writers(self, alone: bool) -> list[FrameWriter]:
        """Writers of frames; those of ``alone`` need all, in order."""
        if self.processing.in_order and not alone:
            return []
        writers: list[FrameWriter] = []
        folder, faces = self.folder, self.inferencer.faces
        if self.outputs.vis and self.source.is_sequence:
            writers.append(
                VideoWriter(folder / 'vis.mp4', faces, self.source.fps)
            )
        elif self.outputs.vis:
            writers.append(PictureWriter(folder / 'vis', faces))
        if self.outputs.params and not self.source.is_sequence:
            writers.append(ParameterWriter(folder / 'params', self.metadata))
        if self.outputs.mesh:
            writers.append(
                MeshWriter(folder / 'mesh', faces, self.outputs.mesh)
            )
        return [writer for writer in writers if alone or writer.per_frame]

    def finish(self, summary: Summary) -> None:
        """Write what concerns all frames, and remove the shards."""
        problems = list(self.source.problems)
        told = ' '.join(problems)
        problems += [
            f'{name}: could not be read'
            for name in self.skipped
            if name not in told
        ]
        summary.problems += problems
        target = self.folder / 'params.npz'
        frames, people = 0, 0
        if self.final.paths:
            frames, people = merge_shards(self.final.paths, target, True)
        if not frames:
            target.unlink(missing_ok=True)
            raise ValueError(
                f'{self.source.name}: nothing there can be read\n'
                + '\n'.join(problems)
            )
        self._export(target)
        shutil.rmtree(self.folder / 'parts')
        summary.frames += frames
        summary.people += people

    def _export(self, path: Path) -> None:
        """Files that are made of ``params.npz``."""


class _Consumer:
    """Takes frames in order: shards, processing, files.

    Attributes:
        final: Shards of what was processed; ``None`` if nothing is.
        skipped: Names of frames that could not be read.
    """

    def __init__(
        self,
        job: _Job,
        writers: Sequence[FrameWriter],
        is_written: Callable[[int], bool],
        alone: bool,
    ) -> None:
        self.job = job
        self.writers = writers
        self.is_written = is_written
        self.stored = _Replay(job.raw)
        self.skipped: list[str] = []
        self.steps: list[Any] = []
        self.final: ShardStore | None = None
        if alone and job.processing.in_order:
            self.steps = make_processing(
                job.processing,
                job.inferencer.selection.score_thr,
                job.source.fps or 25.0,
                job.pose.body_model,
            )
            folder = job.folder / 'parts/final'
            shutil.rmtree(folder, ignore_errors=True)
            self.final = ShardStore(folder, job.metadata)
        self.vertices = any(writer.needs_vertices for writer in writers)

    def _todo(self, index: int) -> list[FrameWriter]:
        """Writers that have not written a frame yet."""
        if not (self.is_written(index) and self.job.keep_files):
            return list(self.writers)
        name = self.job.source.frame_name(index)
        return [
            writer
            for writer in self.writers
            if not (writer.per_frame and writer.is_done(name))
        ]

    def wants_image(self, index: int) -> bool:
        """Whether a writer looks at a frame."""
        return any(writer.needs_image for writer in self._todo(index))

    def __call__(self, item: tuple[Frame, FrameResult | None]) -> None:
        """Work on a frame."""
        frame, result = item
        is_written = self.is_written(frame.index)
        if is_written:
            result = self.stored.find(frame.index)
        if result is not None:
            self._write(frame, result)
        else:
            self.skipped.append(frame.name)
        # Last: what is in a shard has been written.
        if not is_written:
            self.job.raw.append(frame.index, result)

    def _write(self, frame: Frame, result: FrameResult) -> None:
        for step in self.steps:
            result = step(result)
        todo = self._todo(frame.index)
        vertices = any(writer.needs_vertices for writer in todo)
        if vertices or self.job.processing.smooth:
            result = self.job.pose(result, vertices)
        for writer in todo:
            image = None
            if writer.needs_image and frame.image is not None:
                image = np.ascontiguousarray(frame.image[..., ::-1])
            writer.write(result, image)
        if self.final is not None:
            people = dict(result.people)
            people.pop('vertices', None)
            self.final.append(frame.index, _replace(result, people))


class _Replay:
    """Frames of a store by ascending number."""

    def __init__(self, store: ShardStore) -> None:
        self._frames: Iterator[tuple[int, FrameResult]] = store.frames()
        self._next: tuple[int, FrameResult] | None = next(self._frames, None)

    def find(self, index: int) -> FrameResult | None:
        """A frame, if there is one of that number."""
        while self._next is not None and self._next[0] < index:
            self._next = next(self._frames, None)
        if self._next is None or self._next[0] != index:
            return None
        return self._next[1]


def _replace(frame: FrameResult, people: dict) -> FrameResult:
    return FrameResult(
        frame.name,
        frame.source_frame,
        frame.timestamp,
        frame.K,
        frame.size,
        people,
    )


def _folders(sources: Sequence[FrameSource]) -> list[str]:
    """Folder of each source, relative."""
    if len(sources) == 1:
        return ['.']
    names: list[str] = []
    for source in sources:
        name = '.'
        if source.is_sequence:
            name = Path(source.name).stem
            while name.lower() in {other.lower() for other in names}:
                name += '_'
        names.append(name)
    return names


def _fingerprint(
    inferencer: AiOSInferencer,
    sources: Sequence[FrameSource],
    processing: Processing,
) -> dict[str, Any]:
    """What the network's results depend on."""
    config = inferencer.cfg
    loading = dict(config.get('test_dataloader') or {})
    return dict(
        config=digest([str(config.model), str(loading.get('dataset'))]),
        checkpoint=file_digest(inferencer.weights or ''),
        source=digest([source.identity() for source in sources]),
        score_thr=inferencer.selection.score_thr,
        max_persons=inferencer.selection.max_persons,
        nms_iou=inferencer.selection.nms_iou,
        camera=digest(asdict(inferencer.camera)),
        low_scores=processing.in_order,
    )
