# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Meshes and keypoints of MHR become results, and go on from there."""

from __future__ import annotations

import json
import pickle
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_results import FOCAL, NUM_VERTICES, SIZE, mhr, mhr_person
from gltf_evaluator import GLBViewer

from aios.export import EXPORTERS
from aios.importers.dictionaries import frames_of
from aios.results import SequenceResult
from aios.structures import SMPLX_144
from aios.tracking import smooth_sequence
from aios.viewer import write_viewer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def persons(mhr_folder: Path, read, faces_file: Path) -> SequenceResult:
    persons, remarks = read('sam3dbody', mhr_folder, fps=10, faces=faces_file)
    assert 'no SMPL-X parameters' in remarks[0]
    return persons


def test_what_is_kept(persons: SequenceResult) -> None:
    assert (persons.num_frames, len(persons)) == (4, 5)
    assert persons.frame_names.tolist() == ['0000', '0001', '0002', '0003']
    np.testing.assert_allclose(persons.timestamps, [0, 0.1, 0.2, 0.3])
    assert (persons.body_model, persons.has_parameters) == ('mhr', False)
    K = [[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1]]
    np.testing.assert_allclose(persons.K, np.stack([K] * 4), atol=1e-2)
    assert (persons.image_sizes == SIZE).all()
    person = mhr_person((-0.8, 0.1, 4), 0)
    place = person['pred_cam_t']
    np.testing.assert_allclose(
        persons.vertices[0], person['pred_vertices'] + place, atol=1e-6
    )
    joints = persons.joints3d[0]
    for name in ('left_knee', 'right_wrist', 'left_pinky_1', 'neck', 'nose'):
        np.testing.assert_allclose(
            joints[SMPLX_144.index(name)],
            person['pred_keypoints_3d'][mhr(name)] + place,
            atol=1e-6,
        )
    np.testing.assert_allclose(
        joints[0], person['pred_joint_coords'][1] + place, atol=1e-6
    )
    np.testing.assert_allclose(persons.bboxes[0], person['bbox'], rtol=1e-5)
    # COCO: the sixth is the left shoulder.
    np.testing.assert_allclose(
        persons.keypoints[0, 5],
        person['pred_keypoints_2d'][mhr('left_shoulder')],
    )
    assert not persons.body_pose.any()


def test_results_are_kept_in_their_file(persons, tmp_path) -> None:
    persons.save(tmp_path / 'params.npz')
    again = SequenceResult.load(tmp_path / 'params.npz')
    np.testing.assert_array_equal(again.faces, persons.faces)
    np.testing.assert_array_equal(again.vertices, persons.vertices)
    assert not again.has_parameters
    with pytest.raises(
        ValueError, match='faces must be vertex indices in 0..5'
    ):
        replace(persons, faces=np.array([[0, 1, 6]]))
    with pytest.raises(ValueError, match="faces are given by .*'free'"):
        replace(persons, body_model='free')


@pytest.mark.parametrize(
    'kind',
    [
        'list.json',
        'frames.json',
        'list.pkl',
        'one.npz',
        'stacked.npz',
        'humans.npz',
    ],
)
def test_ways_to_save_the_dictionaries(kind, read, tmp_path) -> None:
    persons = [mhr_person((x, 0.1, 4), i) for i, x in enumerate((-0.8, 0.8))]
    path = tmp_path / kind
    if kind.endswith('json'):
        lists = [
            {n: np.asarray(v).tolist() for n, v in p.items()} for p in persons
        ]
        path.write_text(
            json.dumps([lists, lists] if 'frames' in kind else lists)
        )
    elif kind.endswith('pkl'):
        path.write_bytes(pickle.dumps(persons))
    elif kind == 'one.npz':
        np.savez(path, **persons[0])
    elif kind == 'stacked.npz':
        np.savez(
            path, **{n: np.stack([p[n] for p in persons]) for n in persons[0]}
        )
    else:
        np.savez(path, np.array(persons, object))
    sequence, _ = read('sam3dbody', path)
    count = {'one.npz': 1, 'frames.json': 4}.get(kind, 2)
    assert sequence.vertices.shape == (count, NUM_VERTICES, 3)
    assert sequence.num_frames == (2 if kind == 'frames.json' else 1)


def without(name: str, **changed) -> dict:
    person = mhr_person((0, 0, 4), 0) | changed
    return {key: value for key, value in person.items() if key != name}


@pytest.mark.parametrize(
    'persons, message',
    [
        ([without('pred_cam_t')], "person 0: has no field 'pred_cam_t'"),
        (
            [without('', pred_cam_t=np.zeros(2))],
            r'pred_cam_t must have shape \(3,\), got \(2,\)',
        ),
        ([without('', pred_cam_t=[0, 0, np.nan])], 'pred_cam_t is not finite'),
        ([without('', focal_length='wide')], 'focal_length must be numbers'),
        ([without('', focal_length=-1)], 'no camera projects'),
        ([without('pred_keypoints_2d')], 'set --image-size'),
        ([3], 'person 0 must be a dictionary, got int'),
        ([], 'contains no persons'),
    ],
)  # fmt: skip
def test_what_is_refused(persons, message, read) -> None:
    with pytest.raises(ValueError, match=message):
        read('sam3dbody', persons)


def test_files_are_in_the_order_of_their_numbers(tmp_path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f'{number}.json').write_text('[{"x": 0}]')
    names = [name for name, _ in frames_of(tmp_path, 'x')]
    assert names == ['1', '2', '10']


def test_files_that_are_no_dictionaries(read, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match='no file with a suffix of'):
        read('sam3dbody', tmp_path)
    (tmp_path / 'x.txt').touch()
    with pytest.raises(ValueError, match=r'allowed are \.npz'):
        read('sam3dbody', tmp_path / 'x.txt')
    (tmp_path / 'x.json').write_text('{"a"')
    with pytest.raises(ValueError, match='not valid JSON'):
        read('sam3dbody', tmp_path / 'x.json')
    np.savez(tmp_path / 'x.npz', vertices=np.zeros((2, 3)))
    with pytest.raises(ValueError, match='no field .*; fields: vertices'):
        read('sam3dbody', tmp_path / 'x.npz')


@pytest.mark.parametrize('name', ['bvh', 'amass'])
def test_formats_that_need_parameters(name, persons, layer, tmp_path) -> None:
    with pytest.raises(ValueError, match="'mhr' have joints and vertices"):
        EXPORTERS[name].export(persons, layer, tmp_path / 'p{person}.x')
    with pytest.raises(ValueError, match='needs SMPL-X parameters'):
        smooth_sequence(persons, layer)
    assert not list(tmp_path.glob('p*'))


def test_meshes(persons, tmp_path) -> None:
    files, _ = EXPORTERS['obj'].export(persons, None, tmp_path / 'mesh')
    assert len(files) == 5
    lines = files[0].read_text().splitlines()
    assert [line[0] for line in lines] == ['v'] * NUM_VERTICES + ['f'] * 3
    bare = replace(persons, faces=None)
    with pytest.raises(ValueError, match="'mhr' .* have no faces"):
        EXPORTERS['ply'].export(bare, None, tmp_path / 'other')


def test_keypoints_say_what_is_not_there(persons, tmp_path) -> None:
    EXPORTERS['json'].export(persons, None, tmp_path / 'k.json')
    document = json.loads((tmp_path / 'k.json').read_text())
    first = document['annotations'][0]
    flags = {
        name: np.reshape(first[name], (-1, 3))[:, 2].tolist()
        for name in ('keypoints', 'foot_kpts', 'face_kpts')
    }
    assert set(flags['keypoints']) == set(flags['foot_kpts']) == {2}
    assert set(flags['face_kpts']) == {0}


def test_animation_and_viewer(persons, tmp_path) -> None:
    path = tmp_path / 'persons.glb'
    EXPORTERS['glb'].export(persons, None, path)
    model = GLBViewer(path)
    for frame in range(persons.num_frames):
        shown = model.vertices(persons.times()[frame])
        rows = persons.rows(frame)
        for row in range(rows.start, rows.stop):
            person = int(persons.person_id[row])
            found = shown[f'person_{person}_body']
            wanted = persons.vertices[row] * (1, -1, -1)
            assert np.abs(found - wanted).max() < 1e-3
    write_viewer(persons, path, tmp_path / 'page.html')
    with pytest.raises(ValueError, match="correctives must be 'exact'"):
        EXPORTERS['glb'].export(
            persons, None, tmp_path / 'x.glb', correctives='none'
        )


def test_command(mhr_folder, faces_file, tmp_path, capsys) -> None:
    main = runpy.run_path(str(ROOT / 'tools/params2mesh.py'))['main']
    call = [str(mhr_folder), '--from', 'sam3dbody', '--fps', '10', '--track',
            '--faces', str(faces_file), '--format']  # fmt: skip
    main([*call, 'npz'])
    persons = SequenceResult.load(tmp_path / 'bodies.params.npz')
    # The persons change places in the file, and keep their ids.
    left = persons.joints3d[:4, 0, 0] < 0
    assert left.tolist() == [True, False, False, True]
    assert persons.person_id[:4].tolist() == [0, 1, 1, 0]
    main([str(tmp_path / 'bodies.params.npz'), '--format', 'glb'])
    assert 'no SMPL-X parameters' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='needs SMPL-X parameters'):
        main([*call, 'bvh'])
