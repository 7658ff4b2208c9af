# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reading, network and writing work at the same time, on few frames."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_images import SIZE, draw_image

from aios.apis import AiOSInferencer
from aios.apis.frames import Frame, FrameSource
from aios.apis.job import Outputs, run_inference
from aios.apis.post_processing import PostProcessing
from aios.apis.store import load_partial
from aios.apis.writers import FrameWriter
from aios.results import FrameResult, SequenceResult
from aios.tracking import Tracker

NOTHING = Outputs(vis=False, params=False)
TRACKED = PostProcessing(track=True, smooth=True)


class _Endless(FrameSource):
    """Frames whose images are counted as long as somebody holds them."""

    fps = 25.0

    def __init__(self, count: int) -> None:
        super().__init__('endless')
        self.count, self.alive, self.most = count, 0, 0

    def frames(
        self,
        wanted: Callable[[int], bool] = bool,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        for index in range(self.count):
            image = draw_image(index % 5)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(image, self._release)
            name, seconds = f'{index:06d}', index / self.fps
            yield Frame(index, name, image, SIZE, index, seconds)
            del image

    def _release(self) -> None:
        self.alive -= 1


def test_few_frames_are_in_memory(
    inferencer: AiOSInferencer, tmp_path: Path
) -> None:
    source = _Endless(40)
    run_inference(
        inferencer,
        [source],
        tmp_path,
        outputs=Outputs(layers=('boxes',)),
        processing=TRACKED,
        batch_size=2,
    )
    persons = SequenceResult.load(tmp_path / 'params.npz')
    assert persons.num_frames == 40
    # Two batches that wait, those in work, and a few behind the network.
    assert source.most < 20


def test_reading_network_and_writing_overlap(
    inferencer: AiOSInferencer, tmp_path: Path, monkeypatch
):
    """Each waits for the others, in the midst of its work."""
    meeting = threading.Barrier(3, timeout=30)
    forward, calls = inferencer.forward, []

    class Source(_Endless):
        def frames(self, *args: object) -> Iterator[Frame]:
            for frame in super().frames(*args):
                if frame.index == 2:
                    meeting.wait()
                yield frame

    class Writer(FrameWriter):
        per_frame = False

        def write(self, frame: FrameResult, image: object) -> None:
            if frame.source_frame == 0:
                meeting.wait()

        def refresh(self) -> None:
            pass

    def network(inputs: dict, **options: object) -> list:
        calls.append(inputs)
        if len(calls) == 2:
            meeting.wait()
        return forward(inputs, **options)

    monkeypatch.setattr(inferencer, 'forward', network)
    source = Source(4)
    run_inference(
        inferencer, [source], tmp_path, outputs=NOTHING, window=Writer()
    )
    assert len(calls) == 4


def test_the_tracker_knows_colors(
    inferencer: AiOSInferencer, tmp_path: Path, monkeypatch
):
    known, track = [], Tracker.track

    def spy(self: Tracker, frame: FrameResult) -> FrameResult:
        known.append('appearance' in frame.instances)
        return track(self, frame)

    monkeypatch.setattr(Tracker, 'track', spy)
    run_inference(
        inferencer,
        [_Endless(3)],
        tmp_path,
        outputs=NOTHING,
        processing=TRACKED,
    )
    assert known == [True] * 3
    assert SequenceResult.load(tmp_path / 'params.npz').appearance is None


def test_few_parts_of_a_slow_live_run(
    inferencer: AiOSInferencer, tmp_path: Path
) -> None:
    """Most frames of the camera are lost, which must not make more files."""
    written = threading.Semaphore(1)

    class Camera(_Endless):
        live = True

        def frames(self, *args: object) -> Iterator[Frame]:
            for frame in super().frames(*args):
                if frame.index % 3 == 0:
                    assert written.acquire(timeout=30)
                    yield frame
            assert written.acquire(timeout=30)
            raise OSError('unplugged')

    class Listener(FrameWriter):
        def write(self, *_: object) -> None:
            written.release()

    with pytest.raises(OSError, match='unplugged'):
        run_inference(
            inferencer,
            [Camera(15)],
            tmp_path,
            outputs=NOTHING,
            processing=TRACKED,
            senders=[Listener()],
        )
    assert load_partial(tmp_path).source_frames.tolist() == [0, 3, 6, 9, 12]
    for kind in ('raw', 'final'):
        assert len([*(tmp_path / 'parts' / kind).iterdir()]) == 1
