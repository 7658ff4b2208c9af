# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Run inference on sources and write folders of results, resumable.

Reading, the network and writing overlap: one thread reads and prepares frames,
and another one writes files.  The output of the network is stored in shards
(:mod:`aios.apis.store`).  A resumed run reads frames from there instead of
running the network, and repeats the cheap post-processing, so results are
exactly the same.  Several processes share the work in the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tqdm import tqdm

from aios.body_models import BodyModel, BodyPoser
from aios.results import RunRecord, SequenceResult, read_cameras
from aios.tracking import mean_shapes, smooth_frames
from aios.utils.digests import digest
from aios.utils.locking import folder_lock
from aios.utils.safe_io import load_npz

from .camera_motion import CameraMotion
from .consumer import FrameConsumer, Replay, write_frame
from .dist_context import DistContext
from .frames import safe_name
from .gap_filling import fill_file
from .grounding import ground_file
from .outputs import Outputs
from .post_processing import (
    PostProcessing,
    describe_cuts,
    make_processing,
    make_tracker,
    prediction_options,
)
from .record import prepare_folder, remove_record, source_folders
from .sources import Frame, FrameSource
from .store import ShardStore, merge_shards
from .threads import BackgroundConsumer
from .window import Window
from .writers import FrameWriter

if TYPE_CHECKING:
    from .inferencer import AiOSInferencer
    from .onnx_inferencer import OnnxInferencer

__all__ = ['Inferencer', 'Outputs', 'Summary', 'run_inference']


Inferencer: TypeAlias = 'AiOSInferencer | OnnxInferencer'
"""Any of the inferencers."""


@dataclass
class Summary:
    """Summary of a run.

    Args:
        frames: Number of frames with results.
        persons: Number of persons in all of them.
        problems: Messages about unreadable files and frames.
        notes: Other messages for the user.
        was_complete: Whether the run was complete before.
    """

    frames: int = 0
    persons: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    was_complete: bool = False


def run_inference(
    inferencer: Inferencer,
    sources: Sequence[FrameSource],
    out_dir: str | Path,
    *,
    outputs: Outputs = Outputs(),  # noqa: B008 - immutable
    processing: PostProcessing = PostProcessing(),  # noqa: B008
    batch_size: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dist: DistContext | None = None,
    window: Window | None = None,
    senders: Sequence[FrameWriter] = (),
) -> Summary:
    """Find persons, and write the results.

    Results of a single source are in ``out_dir``; with several sources those
    of videos are in ``out_dir/STEM``.

    Args:
        inferencer: Finds persons.
        sources: See :func:`~aios.apis.sources.open_sources`.
        out_dir: Folder for the results; empty or missing.
        outputs: Files to write.
        processing: Post-processing of the frames.
        batch_size: Default: that of the inferencer.
        overwrite: Replace results of an earlier run.
        resume: Continue an earlier run.
        dist: Processes that share the work.
        window: Shows the newest frame.
        senders: Receive the frames of a single source, in order.

    Raises:
        FileExistsError: If the folder is not empty.
        FolderInUseError: If another run uses the folder.
        ValueError: If the earlier run had other settings, or nothing is
            readable.
        OSError: For example if the disk is full; written files are kept, and
            the run can be resumed.
    """
    dist = dist or DistContext()
    root = Path(out_dir)
    folders = source_folders(sources)
    # Invalid options must raise before a folder is made.
    outputs.overlay()
    formats = [exporter.name for exporter in outputs.exporters()]
    body_model = inferencer.body_model
    presentation = asdict(outputs) | asdict(processing)
    presentation['layers'] = list(outputs.layers)
    presentation['views'] = list(outputs.views)
    presentation['formats'] = formats
    record = RunRecord(
        _fingerprint(inferencer, sources, processing), presentation, folders
    )
    if resume and any(source.live for source in sources):
        raise ValueError('input from a camera cannot be resumed')
    with folder_lock(root) if dist.is_main else nullcontext():
        earlier = None
        if dist.is_main:
            earlier = prepare_folder(root, record, overwrite, resume)
        dist.wait()
        if not dist.is_main:
            earlier = RunRecord.load(root)
        if earlier is not None:
            record.problems = earlier.problems
        if earlier is not None and earlier.complete:
            known = [*chain.from_iterable(earlier.problems.values())]
            return Summary(problems=known, was_complete=True)
        # Files of an earlier run are kept if they would not change.
        keep_files = (
            earlier is None or earlier.presentation == record.presentation
        )
        jobs = []
        for source, folder in zip(sources, folders, strict=True):
            job = _Job(
                inferencer,
                source,
                root / folder,
                outputs,
                processing,
                body_model,
                batch_size,
                window,
                senders,
                keep_files,
            )
            jobs.append(job)
        return _run_jobs(jobs, root, record, dist)


def _run_jobs(
    jobs: Sequence[_Job], root: Path, record: RunRecord, dist: DistContext
) -> Summary:
    """Run jobs one by one, each in all processes."""
    summary = Summary()
    for name, job in zip(record.folders, jobs, strict=True):
        is_finished = job.is_finished
        if dist.world_size > 1 and not is_finished:
            job.run(*dist.share(len(job.source)), alone=False)
        dist.wait()
        if dist.is_main and not is_finished:
            job.run()
            job.finish()
        dist.wait()
        if dist.is_main:
            job.report(summary)
            record.cameras[name] = job.cameras
            known = record.problems.get(name, []) if is_finished else []
            record.problems[name] = list(dict.fromkeys(known + job.problems))
            record.save(root)
            summary.problems += record.problems[name]
    if dist.is_main and not summary.frames:
        remove_record(root)
        first = f'{jobs[0].source.name}: nothing there can be read'
        raise ValueError('\n'.join([first, *summary.problems]))
    if dist.is_main:
        record.complete = True
        record.save(root)
    return summary


@dataclass
class _Job:
    """Inference on one source."""

    inferencer: Inferencer
    source: FrameSource
    folder: Path
    outputs: Outputs
    processing: PostProcessing
    body_model: BodyModel
    batch_size: int | None
    window: Window | None
    senders: Sequence[FrameWriter]
    keep_files: bool

    def __post_init__(self) -> None:
        self.metadata = dict(
            fps=float(self.source.fps),
            source=safe_name(self.source.name),
            body_model=self.inferencer.body_model_name,
            model=self.inferencer.model_name,
        )
        self.unread: set[str] = set()
        self.unread_before: list[str] = []
        self.notes: list[str] = []
        self.camera_motion: CameraMotion | None = None
        self.tracker = make_tracker(self.inferencer.instance_filter.score_thr)

    def run(
        self, begin: int = 0, end: int | None = None, alone: bool = True
    ) -> None:
        """Process a range of frames.

        Args:
            begin: First frame.
            end: End frame, excluded.
            alone: Whether this is the only process; otherwise only steps on
                single frames are done.
        """
        self.raw = ShardStore(self._parts / 'raw', self.metadata)
        writers = self._writers(alone)
        with ExitStack() as stack:
            for writer in writers:
                stack.enter_context(writer)
            stack.callback(self.raw.flush)
            consumer = self._consumer(writers, alone)
            if consumer.final is not None:
                stack.callback(consumer.final.flush)
            frames = self.source.frames(consumer.wants_image, begin, end)
            predictions = stack.enter_context(
                closing(self._predict(frames, consumer))  # type: ignore[type-var]
            )
            bar = stack.enter_context(self._progress(alone))
            writer_thread = stack.enter_context(
                BackgroundConsumer(consumer, 1 if self.source.live else 4)
            )
            for frame, result, _ in predictions:
                writer_thread.put((frame, result))
                bar.update(not consumer.is_written(frame.index))
                if self.window is not None:
                    self.window.refresh()
        self.unread.update(consumer.unread)
        self.unread_before = consumer.unread_before
        self.final = consumer.final or self.raw

    def _progress(self, alone: bool) -> tqdm:
        """Progress bar over the frames of this process."""
        done = self.raw.count
        return tqdm(
            total=max(len(self.source), done) or None,
            initial=done,
            unit='frame',
            desc=Path(self.source.name).name,
            disable=not self.inferencer.show_progress,
        )

    def _consumer(
        self, writers: Sequence[FrameWriter], alone: bool
    ) -> FrameConsumer:
        steps, final, display = [], None, None
        if alone and self.processing.in_order:
            steps = make_processing(
                self.processing,
                self.tracker,
                self.source.fps or 25.0,
                self.body_model,
            )
            final = ShardStore(self._parts / 'final', self.metadata)
            if self._smooths_late:
                display = steps.pop()  # the smoother of single frames
        return FrameConsumer(
            self.source,
            self.raw,
            writers,
            BodyPoser(self.body_model),
            steps,
            display if self.source.live else None,
            bool(steps) and self.processing.smooth and not self._is_recorded,
            final,
            self.keep_files,
            self.processing.in_order,
        )

    def _predict(
        self, frames: Iterator[Frame], consumer: FrameConsumer
    ) -> Iterator[Any]:
        return self.inferencer.predict(
            frames,
            self.batch_size,
            self.source.live,
            consumer.is_written,
            **prediction_options(self.inferencer, self.processing),
        )

    def _writers(self, alone: bool) -> list[FrameWriter]:
        """Writers of frames; some need all frames in order (``alone``)."""
        if self.processing.in_order and not alone:
            return []
        writers: list[FrameWriter] = [*self.senders]
        if self.window is not None:
            writers.append(self.window)
        if self.processing.ground and self.source.is_sequence:
            self.camera_motion = CameraMotion()
            writers.append(self.camera_motion)
        if not self._draws_late:
            writers += self._file_writers()
        return [writer for writer in writers if alone or writer.per_frame]

    @property
    def _is_recorded(self) -> bool:
        """Whether the source is a video that can be read again."""
        return self.source.is_sequence and not self.source.live

    @property
    def _smooths_late(self) -> bool:
        """Whether to smooth after the last frame, without lag."""
        return self.processing.smooth and self.source.is_sequence

    @property
    def _draws_late(self) -> bool:
        """Whether to draw after the last frame, as persons move then."""
        moves_late = self.processing.smooth or self.processing.edits_file
        return moves_late and self._is_recorded

    def _file_writers(self) -> list[FrameWriter]:
        """Writers of files of frames."""
        return self.outputs.writers(
            self.source, self.folder, self.inferencer.faces, self.metadata
        )

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run finished this source."""
        return self._target.exists() and not self._parts.exists()

    @property
    def _target(self) -> Path:
        return self.folder / 'params.npz'

    @property
    def _parts(self) -> Path:
        return self.folder / 'parts'

    def finish(self) -> None:
        """Write files of all frames, and remove the shards."""
        frames = 0
        final = self._smoothed() if self._smooths_late else self.final
        if final.paths:
            frames, _ = merge_shards(final.paths, self._target, True)
        if frames:
            cuts = self.tracker.cuts if self.source.is_sequence else []
            if cuts:
                note = f'{describe_cuts(cuts)}; persons get new ids there'
                self.notes.append(note)
            if self.processing.ground:
                note = ground_file(
                    self._target, self.body_model, self.camera_motion, cuts
                )
                self.notes.append(note)
            if gap := self.processing.fill_gaps:
                self.notes += fill_file(self._target, self.body_model, gap)
            if self._draws_late:
                results = final.frames()
                if self.processing.edits_file:
                    edited = SequenceResult.load(self._target).frames()
                    results = zip(final.numbers, edited, strict=True)
                self._write_files(Replay(results))
            self._export(self._target)
        else:
            self._target.unlink(missing_ok=True)
        shutil.rmtree(self._parts, ignore_errors=True)

    def _smoothed(self) -> ShardStore:
        """Smooth the final results of all frames."""
        folder = self._parts / 'smooth'
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run
        smooth = ShardStore(folder, self.metadata)
        numbers = self.final.numbers
        frames = smooth_frames(
            map(itemgetter(1), self.final.frames()),
            self.body_model,
            mean_shapes(map(itemgetter(1), self.final.frames())),
            self.source.fps,
        )
        off = not self.inferencer.show_progress
        bar = tqdm(frames, 'smooth', len(numbers), unit='frame', disable=off)
        for number, frame in zip(numbers, bar, strict=True):
            smooth.append(number, frame)
        smooth.flush()
        return smooth

    def _write_files(self, results: Replay) -> None:
        """Write the files of frames from their final results."""
        writers = self._file_writers()
        if not writers:
            return
        poser = BodyPoser(self.body_model)
        with ExitStack() as stack:
            for writer in writers:
                stack.enter_context(writer)
            frames = map(
                self.inferencer.camera.undistorted, self.source.frames()
            )
            for frame in frames:
                result = results.find(frame.index)
                if result is not None:
                    write_frame(frame, result, writers, poser)

    @property
    def problems(self) -> list[str]:
        """Messages about unreadable files and frames; some come twice."""
        return self.source.problems + [
            f'{name}: could not be read'
            for name in self.unread_before
            if name not in self.unread
        ]

    def report(self, summary: Summary) -> None:
        """Add counts and notes to the summary."""
        # Without duplicates, as some sources are read twice.
        summary.notes += dict.fromkeys(self.source.notes)
        summary.notes += [f'{self.source.name}: {n}' for n in self.notes]
        if self._target.exists():
            names = ['frame_names', 'frame_index']
            arrays = load_npz(self._target, names)
            summary.frames += len(arrays['frame_names'])
            summary.persons += len(arrays['frame_index'])

    @property
    def cameras(self) -> list[dict[str, Any]]:
        """The cameras of the results."""
        return read_cameras(self._target) if self._target.exists() else []

    def _export(self, path: Path) -> None:
        """Write the files of all frames, which needs them in memory."""
        wanted = [x for x in self.outputs.exporters() if x.per != 'frame']
        if not wanted:
            return
        sequence = SequenceResult.load(path)
        for exporter in wanted:
            _, remarks = exporter.export(
                sequence,
                self.body_model,
                self.folder / exporter.product,
                overwrite=True,
                progress=self.inferencer.show_progress,
            )
            self.notes += [f'{exporter.name}: {text}' for text in remarks]
        has_motion = any(exporter.needs_body for exporter in wanted)
        is_mixed = self.source.is_sequence and not self.processing.in_order
        if has_motion and is_mixed and len(sequence.person_ids) > 1:
            self.notes.append(
                'persons were not tracked, so the motion of a person in the '
                'files may be that of several persons; use --track '
                '(track=True)'
            )


def _fingerprint(
    inferencer: Inferencer,
    sources: Sequence[FrameSource],
    processing: PostProcessing,
) -> dict[str, Any]:
    """Settings that the output of the network depends on."""
    return dict(
        **inferencer.fingerprint(),
        source=digest([source.identity() for source in sources]),
        score_thr=inferencer.instance_filter.score_thr,
        max_persons=inferencer.instance_filter.max_persons,
        nms_iou=inferencer.instance_filter.nms_iou,
        camera=digest(asdict(inferencer.camera)),
        low_scores=processing.in_order,
    )
