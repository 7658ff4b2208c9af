# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tracks of 4DHumans, and files of joblib."""

from __future__ import annotations

import pickle
import runpy
import zlib
from pathlib import Path

import numpy as np
import pytest
from hostile_pickles import Call
from scipy.spatial.transform import Rotation

from aios.importers import IMPORTERS, ReadingOptions
from aios.results import SequenceResult
from aios.utils.joblib_pickle import load_joblib
from aios.utils.safe_io import CorruptFileError, UnsafeFileError


@pytest.fixture(scope='module')
def walk(data_dir: Path) -> Path:
    return data_dir / 'importers/phalp_walk.pkl'


@pytest.fixture(scope='module')
def persons(walk, poser) -> SequenceResult:
    options = ReadingOptions(fps=25)
    persons, remarks = IMPORTERS['phalp'].read(walk, poser, options)
    assert 'shapes do not apply to SMPL-X' in remarks[0]
    return persons


def test_tracks(persons: SequenceResult) -> None:
    assert persons.frame_names.tolist() == ['000001', '000002', '000003']
    assert persons.source_frames.tolist() == [0, 1, 2]
    # Person 2 is not seen in the second frame, only expected.
    assert persons.frame_index.tolist() == [0, 0, 1]
    assert persons.person_id.tolist() == [2, 5, 5]
    np.testing.assert_allclose(persons.scores, [0.7, 1.0, 1.0])
    np.testing.assert_allclose(persons.bboxes[1], [500, 50, 580, 250])
    assert (persons.image_sizes == (1280, 720)).all()
    assert set(persons.camera_origin) == {'virtual'}


def test_frames_named_without_a_folder(walk, read) -> None:
    frames = {Path(k).name: v for k, v in load_joblib(walk).items()}
    persons, _ = read('phalp', frames)
    assert persons.frame_names.tolist() == ['000001', '000002', '000003']


def test_frames_are_in_the_order_of_time(walk, read) -> None:
    names = ('9.jpg', '10.jpg', '11.jpg')
    frames = dict(zip(names, load_joblib(walk).values(), strict=True))
    persons, _ = read('phalp', frames, fps=25)
    assert persons.frame_names.tolist() == ['9', '10', '11']
    assert persons.source_frames.tolist() == [0, 1, 2]


def test_places_and_poses(persons: SequenceResult, walk: Path) -> None:
    frame = load_joblib(walk)['outputs/_DEMO/walk/img/000001.jpg']
    for row in (0, 1):
        joints = frame['3d_joints'][row] + frame['camera'][row]
        np.testing.assert_allclose(
            persons.joints3d[row, 0], joints[8], atol=1e-5
        )
        # Its 2-D joints are shares of the image's longer side, from the
        # corner of a square around the image.
        pixels = 1280 * frame['2d_joints'][row].reshape(45, 2)[8]
        np.testing.assert_allclose(
            persons.joints2d[row, 0], pixels - (0, 280), atol=0.1
        )
        for field, name, joint in (
            ('global_orient', 'global_orient', 0),
            ('body_pose', 'body_pose', 20),
        ):
            vectors = getattr(persons, field)[row].reshape(-1, 3)
            np.testing.assert_allclose(
                Rotation.from_rotvec(vectors[joint]).as_matrix(),
                frame['smpl'][row][name][joint],
                atol=1e-5,
            )
    assert not persons.betas.any()
    assert persons.has_parameters


def test_no_floor_in_a_virtual_camera(walk, tmp_path, capsys) -> None:
    """A note says why; the results are written without it."""
    tool = Path(__file__).parents[2] / 'tools/params2mesh.py'
    path = tmp_path / 'x.params.npz'
    runpy.run_path(str(tool))['main'](
        [str(walk), '--from', 'phalp', '--fps', '25', '--ground']
        + ['--format', 'npz', '--out', str(path)]
    )
    assert 'not put on the floor: the focal length' in capsys.readouterr().err
    persons = SequenceResult.load(path)
    assert (len(persons), persons.floor) == (3, None)


@pytest.mark.parametrize(
    'content', [[1], {'a': {'smpl': []}}, {'a': {'poses': []}}]
)
def test_other_content(read, content) -> None:
    with pytest.raises(ValueError, match=r"'smpl'|no persons"):
        read('phalp', content)


def test_matrices_that_are_no_rotations(walk, read) -> None:
    frames = load_joblib(walk)
    frame = frames['outputs/_DEMO/walk/img/000001.jpg']
    frame['smpl'][1]['body_pose'][3] = 0
    message = 'person 1: body_pose must be rotation matrices'
    with pytest.raises(ValueError, match=message):
        read('phalp', frames)


@pytest.mark.parametrize('packed', [False, True])
def test_no_code_is_run(packed, tmp_path, capsys) -> None:
    data = pickle.dumps({'a': Call(print, 'executed')})
    path = tmp_path / 'x.pkl'
    path.write_bytes(zlib.compress(data) if packed else data)
    with pytest.raises(UnsafeFileError, match=r'print.* not allowed'):
        load_joblib(path)
    assert 'executed' not in capsys.readouterr().out


def test_damaged_files(walk: Path, tmp_path: Path) -> None:
    path = tmp_path / 'x.pkl'
    data = walk.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptFileError, match=r'x\.pkl: .*too early'):
        load_joblib(path)
    path.write_bytes(data[:40] + b'?' + data[41:])
    with pytest.raises(CorruptFileError, match='damaged'):
        load_joblib(path)
    # An array that claims more memory than the file has.
    plain = zlib.decompress(data)
    shape = plain.index(b'shape')
    path.write_bytes(plain[: shape + 200])
    with pytest.raises(CorruptFileError, match='too early'):
        load_joblib(path)


def test_bombs(tmp_path: Path, monkeypatch) -> None:
    from aios.utils import joblib_pickle

    monkeypatch.setattr(joblib_pickle, '_FREE_BYTES', 1 << 16)
    path = tmp_path / 'x.pkl'
    path.write_bytes(zlib.compress(bytes(1 << 20)))
    with pytest.raises(UnsafeFileError, match='unpacks to more than'):
        load_joblib(path)
