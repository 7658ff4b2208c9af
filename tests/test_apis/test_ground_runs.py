# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--ground``: the file of results, its report, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from walking_people import Noise, View, as_results, crowd, predicted

from aios.apis import open_sources
from aios.apis.camera_motion import CameraMotion
from aios.apis.grounding import ground_file
from aios.apis.job import Outputs, run_inference
from aios.apis.post_processing import PostProcessing
from aios.body_models import BodyPoser, SMPLXLayer
from aios.results import SequenceResult


def test_a_file_is_put_on_its_floor(tmp_path: Path, free_body_dir: Path):
    layer = SMPLXLayer(free_body_dir).eval()
    view = View(-15, 1.6)
    rng = np.random.default_rng(0)
    walkers = as_results(
        [predicted(rng, p, Noise()) for p in crowd(0, view, 1, 90)]
    )
    poser = BodyPoser(layer)
    people = SequenceResult.from_frames(
        [frame.posed(poser, False) for frame in walkers.frames()],
        **walkers.metadata,
    )
    path = tmp_path / 'params.npz'
    people.save(path)
    note = ground_file(path, layer)
    assert 'foot slide' in note
    after = SequenceResult.load(path)
    assert after.floor is not None
    report = json.loads((tmp_path / 'ground.json').read_text())
    np.testing.assert_allclose(report['floor'], after.floor)
    assert report['after']['foot_slide_mm'] < 10
    assert after.vertices is None
    body = layer(**after.smplx_parameters())
    np.testing.assert_allclose(
        after.joints3d, body.joints.detach().numpy(), atol=1e-4
    )
    # The soles of the mesh, not its joints, are on the floor.
    vertices = body.vertices.detach().numpy()
    lowest = (vertices @ after.floor[:3] + after.floor[3]).min(1)
    assert abs(np.median(lowest)) < 0.015


def test_images_have_no_floor(inferencer, pictures: Path, tmp_path: Path):
    """All other results are there, and a note says why."""
    out = tmp_path / 'out'
    summary = run_inference(
        inferencer,
        open_sources(pictures),
        out,
        outputs=Outputs(vis=False, params=False, formats=['json']),
        processing=PostProcessing(ground=True),
    )
    (note,) = summary.notes
    assert 'a floor needs a video' in note
    report = json.loads((out / 'ground.json').read_text())
    assert report['floor'] is None
    assert 'video' in report['reason']
    assert SequenceResult.load(out / 'params.npz').floor is None
    assert (out / 'keypoints.json').exists()


def test_a_camera_that_moves(tmp_path: Path, free_body_dir: Path):
    people = as_results(crowd(0, View(-15, 1.6), 1, 20))
    path = tmp_path / 'params.npz'
    people.save(path)
    before = path.read_bytes()
    motion = CameraMotion()
    motion.pairs, motion.shifted = 100, 40
    note = ground_file(path, SMPLXLayer(free_body_dir), motion)
    assert 'the camera moves (40%' in note
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
    people = SequenceResult.load(out / 'params.npz')
    assert people.num_frames == 10
    assert people.floor is None
