# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--ground``: the file of results, its report, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from walking_persons import FPS, Noise, View, as_results, crowd, predicted

from aios.apis import open_sources
from aios.apis.camera_motion import CameraMotion
from aios.apis.cameras import CameraModel
from aios.apis.grounding import ground_file
from aios.apis.instance_filter import InstanceFilter
from aios.apis.job import Outputs, run_inference
from aios.apis.post_processing import PostProcessing
from aios.apis.sources import ArraySource
from aios.apis.writers import FrameWriter
from aios.body_models import BodyPoser, SMPLXLayer
from aios.results import FrameResult, SequenceResult


def test_a_file_is_put_on_its_floor(tmp_path: Path, layer: SMPLXLayer):
    view = View(-15, 1.6)
    rng = np.random.default_rng(0)
    walkers = as_results(
        [predicted(rng, p, Noise()) for p in crowd(0, view, 1, 90)]
    )
    poser = BodyPoser(layer)
    persons = SequenceResult.from_frames(
        [frame.posed(poser, False) for frame in walkers.frames()],
        **walkers.metadata,
    )
    path = tmp_path / 'params.npz'
    persons.save(path)
    note = ground_file(path, layer)
    assert 'foot slide' in note
    after = SequenceResult.load(path)
    assert after.floor is not None
    report = json.loads((tmp_path / 'ground.json').read_text())
    np.testing.assert_allclose(report['floor'], after.floor)
    assert report['after']['foot_slide_mm'] < 10
    assert 'heights of persons: ' in note
    # One person: as tall as adults are.
    assert report['heights_m']['0'][1] == pytest.approx(1.68, abs=0.03)
    assert after.vertices is None
    body = layer(**after.smplx_parameters())
    np.testing.assert_allclose(
        after.joints3d, body.joints.detach().numpy(), atol=1e-4
    )
    # The soles of the mesh, not its joints, are on the floor.
    vertices = body.vertices.detach().numpy()
    lowest = (vertices @ after.floor[:3] + after.floor[3]).min(1)
    assert abs(np.median(lowest)) < 0.015


def test_images_have_no_floor(inferencer, images: Path, tmp_path: Path):
    """All other results are there, and a note says why."""
    out = tmp_path / 'out'
    summary = run_inference(
        inferencer,
        open_sources(images),
        out,
        outputs=Outputs(vis=False, params=False, formats=['json']),
        processing=PostProcessing(ground=True, fill_gaps=3),
    )
    note, other = summary.notes
    assert 'grounding needs a video' in note
    assert 'gaps are filled in videos only' in other
    report = json.loads((out / 'ground.json').read_text())
    assert report['floor'] is None
    assert 'video' in report['reason']
    assert SequenceResult.load(out / 'params.npz').floor is None
    assert (out / 'keypoints.json').exists()


def test_a_camera_that_moves(tmp_path: Path, layer: SMPLXLayer):
    persons = as_results(crowd(0, View(-15, 1.6), 1, 20))
    path = tmp_path / 'params.npz'
    persons.save(path)
    before = path.read_bytes()
    motion = CameraMotion()
    motion.pairs, motion.shifted = 100, 40
    note = ground_file(path, layer, motion)
    assert 'must not move, but in 40%' in note
    report = json.loads((tmp_path / 'ground.json').read_text())
    assert report['reason'] in note
    assert path.read_bytes() == before


def test_a_video_through_the_virtual_camera(
    inferencer, make_video, tmp_path: Path
):
    """It is watched for motion of the camera, and has no metric floor."""
    video = make_video(tmp_path / 'v.avi', 10)
    out = tmp_path / 'out'
    summary = run_inference(
        inferencer,
        open_sources(video),
        out,
        outputs=Outputs(vis=False),
        processing=PostProcessing(ground=True),
    )
    (note,) = summary.notes
    assert 'not put on a floor: ' in note
    assert {path.name for path in out.iterdir()} == {
        *('run.json', 'params.npz', 'ground.json'),
    }
    persons = SequenceResult.load(out / 'params.npz')
    assert persons.num_frames == 10
    assert persons.floor is None


_IMAGE = np.full((96, 128, 3), 90, np.uint8)


class _Found:
    """An inferencer that has found its persons already."""

    instance_filter = InstanceFilter()
    camera = CameraModel()
    show_progress = False
    body_model_name, model_name = 'free', 'walkers'

    def __init__(self, persons: SequenceResult, layer: SMPLXLayer) -> None:
        self.persons, self.body_model = persons, layer
        self.faces = layer.faces.numpy()

    def fingerprint(self) -> dict[str, str]:
        return {}

    def predict(self, frames, *args, **choice):
        for frame in frames:
            yield frame, self.persons.frame(frame.index), None


class _Watched(Outputs):
    """Keeps what is written frame by frame, and with which image."""

    seen: ClassVar[list] = []

    def writers(self, *args):
        seen = self.seen

        class Watcher(FrameWriter):
            needs_image = True

            def write(self, frame, image):
                seen.append((frame, image))

        return [Watcher()]


def _run(
    found: list[FrameResult],
    layer: SMPLXLayer,
    out: Path,
    processing: PostProcessing,
    images: list[np.ndarray] | None = None,
) -> tuple[SequenceResult, list]:
    """The file of a run that finds these persons, and what it showed."""
    still = ArraySource(images or [_IMAGE] * len(found))
    still.fps = FPS
    outputs = _Watched()
    outputs.seen.clear()
    persons = SequenceResult.from_frames(found)
    run_inference(
        _Found(persons, layer),
        [still],
        out,
        outputs=outputs,
        processing=processing,
    )
    return SequenceResult.load(out / 'params.npz'), outputs.seen


@pytest.fixture(scope='module')
def walk(layer: SMPLXLayer) -> list[FrameResult]:
    rng = np.random.default_rng(0)
    walkers = as_results(
        [predicted(rng, p, Noise()) for p in crowd(0, View(-15, 1.6), 1, 40)]
    )
    poser = BodyPoser(layer)
    frames = []
    for frame in walkers.frames():
        pixels = frame.instances['joints2d']
        boxes = np.concatenate([pixels.min(1), pixels.max(1)], axis=1)
        frames.append(frame.with_fields(bboxes=boxes).posed(poser, False))
    return frames


def test_files_of_frames_show_what_is_written(
    tmp_path: Path, layer: SMPLXLayer, walk: list[FrameResult]
):
    after, seen = _run(
        walk, layer, tmp_path / 'out', PostProcessing(ground=True)
    )
    assert after.floor is not None
    before = SequenceResult.from_frames(walk).joints3d
    assert np.abs(after.joints3d - before).max() > 0.01
    assert len(seen) == len(walk)
    for (frame, image), written in zip(seen, after.frames(), strict=True):
        assert image.shape == (96, 128, 3)
        np.testing.assert_array_equal(
            frame.instances['joints2d'], written.instances['joints2d']
        )


def test_shots_have_no_common_floor(
    tmp_path: Path, layer: SMPLXLayer, walk: list[FrameResult]
):
    """The note says where they begin, for --start and --end."""
    image = np.tile(np.uint8([[[40], [200]]]), (96, 64, 3))
    image[:, ::64] = image[:, 1::64] = 40
    after, _ = _run(
        walk,
        layer,
        tmp_path / 'out',
        PostProcessing(ground=True, smooth=True),
        [image] * 25 + [255 - image] * 15,
    )
    assert after.floor is None
    report = json.loads((tmp_path / 'out/ground.json').read_text())
    assert 'cut at frame 25; process the shots one by' in report['reason']
    ids = [after.frame(t).instances['person_id'] for t in (24, 25)]
    assert not {*ids[0].tolist()} & {*ids[1].tolist()}


@pytest.mark.parametrize('smooth', [False, True])
def test_gaps_are_filled_in_all_files(
    tmp_path: Path, layer: SMPLXLayer, walk: list[FrameResult], smooth: bool
):
    found = [*walk]
    for number in (10, 11, 12, 20):
        found[number] = walk[number].select(np.zeros(0, int))
    processing = PostProcessing(fill_gaps=2, smooth=smooth)
    after, seen = _run(found, layer, tmp_path / 'out', processing)
    missing = {*range(len(walk))} - {*after.frame_index.tolist()}
    assert missing == {10, 11, 12}
    assert np.flatnonzero(after.scores == 0).tolist() == [17]
    shown = seen[20][0].instances['joints3d']
    np.testing.assert_array_equal(shown, after.joints3d[[17]])
    expected = walk[20].instances['joints3d']
    assert np.abs(shown - expected).max() < 0.15
