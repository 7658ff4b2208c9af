# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folders of results: what is in them, and what survives an interruption."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from aios.apis import AiOSInferencer, open_sources
from aios.apis.cameras import CameraModel
from aios.apis.instance_filter import InstanceFilter
from aios.apis.job import Outputs, Summary, run_inference
from aios.apis.post_processing import PostProcessing
from aios.apis.store import load_partial
from aios.results import (
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    SequenceResult,
)
from aios.utils import locking
from aios.utils.locking import folder_lock

NOTHING = Outputs(vis=False, params=False)
TRACKED = PostProcessing(track=True, smooth=True)


@pytest.fixture
def infer(inferencer: AiOSInferencer) -> Callable[..., Summary]:
    """Runs the tiny network: inputs, folder, options."""

    def run(inputs: object, out: Path, **options: object) -> Summary:
        options.setdefault('outputs', NOTHING)
        sources = open_sources(inputs)
        return run_inference(inferencer, sources, out, **options)

    return run


@pytest.fixture
def calls(
    inferencer: AiOSInferencer, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Sizes of the batches the network saw; ends with Ctrl-C at the 4th."""
    seen: list[int] = []
    forward = inferencer.forward
    limit = 3

    def counted(inputs: dict, **options: object) -> list:
        if len(seen) == limit:
            raise KeyboardInterrupt
        seen.append(len(inputs['inputs']))
        return forward(inputs, **options)

    monkeypatch.setattr(inferencer, 'forward', counted)
    return seen


def _files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths}


def _frames(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    while (frame := capture.read()[1]) is not None:
        yield frame


def _assert_same(one: Path, other: Path) -> None:
    with np.load(one) as a, np.load(other) as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_files_of_images(infer, images: Path, tmp_path: Path):
    out = tmp_path / 'out'
    outputs = Outputs(formats=('ply', 'glb', 'json', 'bvh'))
    summary = infer(images, out, outputs=outputs)
    assert (summary.frames, summary.persons) == (3, 9)
    assert _files(out) == {
        *('run.json', 'params.npz', 'persons.glb', 'keypoints.json'),
        *(f'params/{name}.npz' for name in 'abc'),
        *(f'vis/{name}.jpg' for name in 'abc'),
        *(f'bvh/person{k}.bvh' for k in range(3)),
        *(f'mesh/{n}_person{k}.ply' for n in 'abc' for k in range(3)),
    }
    # The original resolution, whatever the network saw.
    assert cv2.imread(str(out / 'vis/c.jpg')).shape == (80, 60, 3)
    with np.load(out / 'params.npz') as persons:
        assert set(SMPLX_ARGUMENTS) < set(persons.files)
        assert persons['units'] == 'm'
        assert persons['image_sizes'].tolist() == [
            [96, 72],
            [96, 72],
            [60, 80],
        ]
    every = SequenceResult.load(out / 'params.npz')
    for index, name in enumerate('abc'):
        alone = SequenceResult.load(out / f'params/{name}.npz')
        expected = every.select_frames([index])
        for field in set(PERSON_FIELDS) - {'vertices', 'appearance'}:
            np.testing.assert_allclose(
                getattr(alone, field), getattr(expected, field), atol=1e-4
            )
    annotations = json.loads((out / 'keypoints.json').read_text())
    assert len(annotations['annotations']) == 9
    assert len(trimesh.load(out / 'persons.glb').geometry) == 3


def test_meshes_are_those_of_the_parameters(
    infer, inferencer: AiOSInferencer, images: Path, tmp_path: Path
):
    out = tmp_path / 'out'
    infer(images / 'a.png', out, outputs=Outputs(formats=['ply']))
    persons = SequenceResult.load(out / 'params.npz')
    layer = inferencer.model.bbox_head.body_model
    vertices = layer(**persons.smplx_parameters()).vertices.detach().numpy()
    mesh = trimesh.load(out / 'mesh/a_person1.ply', process=False)
    np.testing.assert_allclose(mesh.vertices, vertices[1], atol=1e-5)


def test_motion_needs_tracks(infer, tmp_path: Path, make_video):
    video = make_video(tmp_path / 'v.avi', 2)
    for folder, options in (('a', {}), ('b', {'processing': TRACKED})):
        outputs = Outputs(vis=False, formats=('glb',))
        summary = infer(video, tmp_path / folder, outputs=outputs, **options)
        remark, *warnings = summary.notes
        assert re.search(r'v\.avi: glb: \d\.\d MB; vertices at most ', remark)
        assert len(warnings) == (not options)
        assert all('were not tracked' in warning for warning in warnings)


def test_images_without_persons_get_files(
    infer, inferencer, images: Path, tmp_path: Path, monkeypatch
):
    nobody = AiOSInferencer(
        weights=inferencer.weights,
        device='cpu',
        score_thr=1,
        show_progress=False,
    )
    outputs = Outputs(formats=('obj', 'glb', 'json', 'bvh'))
    summary = run_inference(
        nobody, open_sources(images), tmp_path / 'out', outputs=outputs
    )
    assert (summary.frames, summary.persons) == (3, 0)
    assert _files(tmp_path / 'out') == {
        *('run.json', 'params.npz', 'persons.glb', 'keypoints.json'),
        *(f'params/{name}.npz' for name in 'abc'),
        *(f'vis/{name}.jpg' for name in 'abc'),
    }
    persons = SequenceResult.load(tmp_path / 'out/params.npz')
    assert persons.num_frames == 3
    assert not len(persons)


def test_a_video(infer, tmp_path: Path, make_video):
    make_video(tmp_path / 'v.avi', 7, fps=12.5)
    outputs = Outputs(views=('side', 'top'), layers=('boxes',))
    infer(
        tmp_path / 'v.avi',
        tmp_path / 'out',
        outputs=outputs,
        processing=TRACKED,
        batch_size=3,
    )
    assert _files(tmp_path / 'out') == {'run.json', 'params.npz', 'vis.mp4'}
    persons = SequenceResult.load(tmp_path / 'out/params.npz')
    assert persons.num_frames == 7
    assert persons.fps == 12.5
    np.testing.assert_allclose(persons.timestamps, np.arange(7) / 12.5)
    video = cv2.VideoCapture(str(tmp_path / 'out/vis.mp4'))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    assert video.read()[1].shape == (72, 96 + 36, 3)


def test_smoothed_joints_are_those_of_the_parameters(
    infer, inferencer: AiOSInferencer, tmp_path: Path, make_video
):
    make_video(tmp_path / 'v.avi', 6)
    infer(tmp_path / 'v.avi', tmp_path / 'raw')
    infer(tmp_path / 'v.avi', tmp_path / 'out', processing=TRACKED)
    persons = SequenceResult.load(tmp_path / 'out/params.npz')
    layer = inferencer.model.bbox_head.body_model
    joints = layer(**persons.smplx_parameters()).joints.detach().numpy()
    np.testing.assert_allclose(persons.joints3d, joints, atol=1e-4)
    raw = SequenceResult.load(tmp_path / 'raw/params.npz')
    assert raw.body_pose.shape == persons.body_pose.shape
    assert np.abs(raw.body_pose - persons.body_pose).max() > 1e-3


def test_largest_person(infer, tmp_path: Path, make_video):
    make_video(tmp_path / 'v.avi', 4)
    infer(
        tmp_path / 'v.avi',
        tmp_path / 'out',
        processing=PostProcessing(largest_person=True),
    )
    persons = SequenceResult.load(tmp_path / 'out/params.npz')
    assert persons.num_frames == 4
    assert np.bincount(persons.frame_index).max() == 1
    assert len(persons)


def test_several_sources(infer, images: Path, tmp_path: Path, make_video):
    make_video(images / 'x.avi', 3)
    make_video(images / 'x.mp4.avi', 3)
    summary = infer(images, tmp_path / 'out', outputs=Outputs(vis=False))
    assert summary.frames == 9
    assert _files(tmp_path / 'out') == {
        *('run.json', 'params.npz', 'x/params.npz', 'x.mp4/params.npz'),
        *(f'params/{name}.npz' for name in 'abc'),
    }
    (tmp_path / 'out/params.npz').unlink()
    with pytest.raises(FileNotFoundError, match=r'videos are in x, x\.mp4'):
        load_partial(tmp_path / 'out')


class TestResume:
    @pytest.mark.parametrize('processing', [PostProcessing(), TRACKED])
    def test_goes_on_exactly(
        self, infer, calls, monkeypatch, tmp_path, make_video, processing
    ):
        video = make_video(tmp_path / 'v.avi', 8)
        out, whole = tmp_path / 'out', tmp_path / 'whole'
        options = dict(outputs=Outputs(), processing=processing, batch_size=1)
        with pytest.raises(KeyboardInterrupt):
            infer(video, out, **options)
        left = load_partial(out)
        assert left.num_frames == 3
        assert len(left)
        # Motion is smoothed, and drawn, after the last frame.
        partial = cv2.VideoCapture(str(out / 'vis.partial.mp4'))
        assert partial.read()[0] != processing.smooth
        assert not (out / 'vis.mp4').exists()
        assert not (out / 'params.npz').exists()
        (out / f'.persons.glb.{"0" * 32}.tmp').touch()
        calls[:] = [0] * 10  # never again
        with pytest.raises(FileExistsError, match='--resume'):
            infer(video, out, **options)
        summary = infer(video, out, resume=True, **options)
        assert summary.frames == 8
        assert len(calls) == 10 + 5
        infer(video, whole, **options)
        assert _files(out) == _files(whole)
        _assert_same(out / 'params.npz', whole / 'params.npz')
        # Of two whole runs, too, single pixels may differ by a few levels.
        for one, other in zip(
            _frames(out / 'vis.mp4'), _frames(whole / 'vis.mp4'), strict=True
        ):
            assert cv2.absdiff(one, other).mean() < 1
        again = infer(video, out, resume=True, **options)
        assert again.was_complete
        options['outputs'] = Outputs(vis=False)
        with pytest.raises(ValueError, match=r'complete\. .*params2mesh'):
            infer(video, out, resume=True, **options)
        assert _files(out) == _files(whole)

    def test_unreadable_images_are_told_again(
        self, infer, calls, images: Path, tmp_path: Path
    ):
        for name, content in (('a', b'no'), ('e', b'no image')):
            (images / f'{name}.png').write_bytes(content)
        calls[:] = [0, 0]
        with pytest.raises(KeyboardInterrupt):
            infer(images, tmp_path / 'out')
        calls[:] = [0] * 10
        summary = infer(images, tmp_path / 'out', resume=True)
        reason = 'e.png: unknown image format; the file has 8 bytes'
        assert summary.problems == [
            f'{images}/{reason}', 'a: could not be read'
        ]  # fmt: skip

    def test_images_are_not_drawn_again(
        self, infer, calls, images: Path, tmp_path: Path
    ):
        out = tmp_path / 'out'
        calls[:] = [0]
        with pytest.raises(KeyboardInterrupt):
            infer([*images.iterdir()] * 2, out, outputs=Outputs())
        before = {p: p.stat().st_mtime_ns for p in out.glob('vis/*')}
        assert len(before) == 2
        calls[:] = [0] * 10
        infer([*images.iterdir()] * 2, out, outputs=Outputs(), resume=True)
        assert len(list(out.glob('vis/*'))) == 6
        assert before == {p: p.stat().st_mtime_ns for p in before}

    def test_finished_sources_are_left_alone(
        self, infer, calls, images: Path, tmp_path: Path, make_video
    ):
        (images / 'c.png').write_bytes(b'')
        make_video(images / 'x.avi', 3)
        out = tmp_path / 'out'
        with pytest.raises(KeyboardInterrupt):
            infer(images, out, outputs=Outputs(vis=False))
        before = (out / 'params.npz').stat().st_mtime_ns
        calls[:] = [0] * 10
        summary = infer(images, out, outputs=Outputs(vis=False), resume=True)
        assert (summary.frames, summary.persons) == (5, 15)
        assert len(calls) == 10 + 2
        assert (out / 'params.npz').stat().st_mtime_ns == before
        assert summary.problems == [f'{images}/c.png: is empty (0 bytes)']
        again = infer(images, out, outputs=Outputs(vis=False), resume=True)
        assert (again.was_complete, again.problems) == (True, summary.problems)

    def test_with_other_files(self, infer, calls, images, tmp_path):
        """What is drawn may change; nothing old stays."""
        out = tmp_path / 'out'
        calls[:] = [0]
        with pytest.raises(KeyboardInterrupt):
            infer(images, out, outputs=Outputs(formats=['obj']))
        assert list(out.glob('mesh/*.obj'))
        calls[:] = [0] * 10
        outputs = Outputs(vis=False, params=False, formats=['ply'])
        infer(images, out, outputs=outputs, resume=True)
        assert len(calls) == 11
        assert _files(out) == {
            *('run.json', 'params.npz'),
            *(f'mesh/{n}_person{k}.ply' for n in 'abc' for k in range(3)),
        }

    def test_another_run(self, infer, inferencer, images, tmp_path):
        infer(images / 'a.png', tmp_path / 'out')
        with pytest.raises(ValueError, match='source'):
            infer(images / 'b.jpg', tmp_path / 'out', resume=True)
        with pytest.raises(ValueError, match='low_scores'):
            infer(
                images / 'a.png',
                tmp_path / 'out',
                resume=True,
                processing=TRACKED,
            )

    def test_numpy_scalars_as_options(
        self, inferencer, images, tmp_path, monkeypatch
    ):
        out, sources = tmp_path / 'out', open_sources(images / 'a.png')

        def infer(kind: Callable, **options) -> Summary:
            monkeypatch.setattr(
                inferencer,
                'instance_filter',
                InstanceFilter(kind(0.5), np.int64(3)),
            )
            camera = CameraModel.create(focal_length=kind(500))
            monkeypatch.setattr(inferencer, 'camera', camera)
            return run_inference(
                inferencer, sources, out, outputs=NOTHING, **options
            )

        assert infer(np.float32).frames == 1
        assert infer(float, resume=True).was_complete

    def test_no_run(self, infer, images: Path, tmp_path: Path):
        with pytest.raises(FileExistsError, match=r'no run\.json'):
            infer(images, images, resume=True)
        # Nothing there at all: a run that never came to begin.
        assert infer(images, tmp_path / 'out', resume=True).frames == 3


class TestFolder:
    def test_overwrite_removes_results_only(
        self, infer, images: Path, tmp_path: Path
    ):
        out = tmp_path / 'out'
        infer(images, out, outputs=Outputs())
        (out / 'notes.txt').write_text('mine')
        infer(images / 'a.png', out, outputs=Outputs(), overwrite=True)
        assert _files(out) == {
            *('notes.txt', 'run.json', 'params.npz'),
            *('params/a.npz', 'vis/a.jpg'),
        }

    def test_a_record_cannot_point_outside(
        self, infer, images: Path, tmp_path: Path
    ):
        out = tmp_path / 'out'
        infer(images / 'a.png', out)
        victim = tmp_path / 'params.npz'
        victim.write_text('mine')
        record = json.loads((out / 'run.json').read_text())
        record['folders'] = ['..']
        (out / 'run.json').write_text(json.dumps(record))
        infer(images / 'a.png', out, overwrite=True)
        assert victim.read_text() == 'mine'

    def test_damaged_record(self, infer, images: Path, tmp_path: Path):
        infer(images / 'a.png', tmp_path / 'out')
        (tmp_path / 'out/run.json').write_text('{')
        with pytest.raises(ValueError, match=r'run\.json: damaged'):
            infer(images / 'a.png', tmp_path / 'out', resume=True)
        assert infer(images, tmp_path / 'out', overwrite=True).frames == 3

    def test_two_runs_in_one_folder(
        self, infer, images: Path, tmp_path: Path, monkeypatch
    ):
        monkeypatch.setattr(locking, '_PATIENCE', 0.0)
        out = tmp_path / 'out'
        infer(images / 'a.png', out)
        with folder_lock(out):
            for options in (dict(resume=True), dict(overwrite=True)):
                with pytest.raises(OSError, match='out: another run'):
                    infer(images / 'a.png', out, **options)

    def test_a_file(self, infer, images: Path):
        with pytest.raises(NotADirectoryError, match=r'a\.png'):
            infer(images, images / 'a.png')


def test_nothing_readable(infer, tmp_path: Path):
    (tmp_path / 'a.png').write_bytes(b'nonsense')
    with pytest.raises(ValueError, match=r'a\.png: unknown image format'):
        infer(tmp_path / 'a.png', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_interrupted_resumption(
    infer, calls, monkeypatch, tmp_path, make_video
):
    """Its first frames do not hide those of the earlier run."""
    from aios.apis import consumer

    video, out = make_video(tmp_path / 'v.avi', 8), tmp_path / 'out'
    options = dict(processing=TRACKED, batch_size=1)
    with pytest.raises(KeyboardInterrupt):
        infer(video, out, **options)
    calls[:] = [0] * 10  # never again
    write_frame = consumer.write_frame

    def fail(frame: Any, *args: Any) -> Any:
        if frame.index == 1:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return write_frame(frame, *args)

    monkeypatch.setattr(consumer, 'write_frame', fail)
    for _ in range(2):
        with pytest.raises(OSError, match='No space left'):
            infer(video, out, resume=True, **options)
        assert load_partial(out).num_frames == 3
    with pytest.raises(OSError, match='No space left'):
        infer(video, out, resume=True, processing=PostProcessing(track=True))
    assert load_partial(out).num_frames == 1
    monkeypatch.setattr(consumer, 'write_frame', write_frame)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        infer(video, out, resume=True, **options)
    assert load_partial(out).num_frames == 6
    calls[:] = [0] * 10
    for folder in (out, tmp_path / 'whole'):
        infer(video, folder, resume=True, **options)
    _assert_same(out / 'params.npz', tmp_path / 'whole/params.npz')


def test_one_source_is_not_readable(infer, tmp_path: Path, make_video):
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    (folder / 'a.png').write_bytes(b'')
    make_video(folder / 'vis.avi', 2)  # a name that is taken
    summary = infer(folder, out, outputs=Outputs(vis=False))
    assert summary.frames == 2
    assert summary.problems == [f'{folder}/a.png: is empty (0 bytes)']
    assert _files(out) == {'run.json', 'vis_/params.npz'}


def test_full_disk(infer, monkeypatch, images: Path, tmp_path: Path):
    from aios.visualization import overlay_writer

    write_image = overlay_writer.write_image

    def fail(image: np.ndarray, path: Path, **options: object) -> None:
        if path.stem == 'b':
            raise OSError(errno.ENOSPC, 'No space left on device')
        write_image(image, path, **options)

    out = tmp_path / 'out'
    monkeypatch.setattr(overlay_writer, 'write_image', fail)
    with pytest.raises(OSError, match='No space left'):
        infer(images, out, outputs=Outputs())
    assert load_partial(out).frame_names.tolist() == ['a']
    monkeypatch.undo()
    summary = infer(images, out, outputs=Outputs(), resume=True)
    assert summary.frames == 3
    assert 'vis/b.jpg' in _files(out)


def test_unknown_layer(infer, images: Path, tmp_path: Path):
    with pytest.raises(ValueError, match='layers may be'):
        infer(images, tmp_path / 'out', outputs=Outputs(layers=['nonsense']))
    assert not (tmp_path / 'out').exists()
