# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from aios.results import (
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    FrameResult,
    SequenceResult,
    complete_instances,
)
from aios.utils.safe_io import list_npz, load_npz, save_npz
from aios.version import __version__


def assert_equal(left: SequenceResult, right: SequenceResult) -> None:
    for field in dataclasses.fields(SequenceResult):
        one, other = (getattr(x, field.name) for x in (left, right))
        np.testing.assert_array_equal(one, other, field.name)
        if isinstance(one, np.ndarray) and one.dtype.kind != 'U':
            assert one.dtype == other.dtype, field.name


def test_rows_follow_the_frames(persons: SequenceResult) -> None:
    assert len(persons) == 5
    assert persons.num_frames == 4
    assert persons.frame_index.tolist() == [0, 0, 2, 3, 3]
    assert persons.person_id.tolist() == [4, 7, 7, 7, 4]
    assert persons.person_ids.tolist() == [4, 7]
    assert persons.frame(1).instances['betas'].shape == (0, 10)
    assert persons.frame(3).instances['transl'].tolist() == [
        [7, 0, 5],
        [4, 0, 5],
    ]
    with pytest.raises(IndexError, match='frame 4'):
        persons.frame(4)


def test_frames_come_back(persons: SequenceResult) -> None:
    again = SequenceResult.from_frames(
        persons.frames(),
        fps=persons.fps,
        source=persons.source,
        body_model=persons.body_model,
        model=persons.model,
    )
    assert_equal(persons, again)
    assert persons.frame(2).size == (640, 480)


def test_round_trip(persons: SequenceResult, tmp_path) -> None:
    path = tmp_path / 'new' / 'params.npz'
    persons.save(path)
    loaded = SequenceResult.load(path)
    assert_equal(persons, loaded)
    assert loaded.fps == 25.0
    assert loaded.aios_version == __version__
    assert 'vertices' not in list_npz(path)


def test_optional_fields_round_trip(make_frame, tmp_path) -> None:
    vertices = np.random.default_rng(0).random((2, 6, 3))
    frames = [make_frame(0), make_frame(1, (0, 1), vertices=vertices)]
    persons = SequenceResult.from_frames(frames)
    persons.save(tmp_path / 'p.npz')
    loaded = SequenceResult.load(tmp_path / 'p.npz')
    np.testing.assert_array_equal(loaded.vertices, np.float32(vertices))
    assert loaded.keypoints is None


def test_no_person_at_all(make_frame, tmp_path) -> None:
    for frames in ([], [make_frame(0), make_frame(1)]):
        persons = SequenceResult.from_frames(frames, fps=30)
        persons.save(tmp_path / 'p.npz', overwrite=True)
        loaded = SequenceResult.load(tmp_path / 'p.npz')
        assert_equal(persons, loaded)
        assert len(loaded) == 0
        assert loaded.num_frames == len(frames)
        assert loaded.joints3d.shape == (0, 144, 3)
        assert len(list(loaded.frames())) == len(frames)


def test_existing_file_is_kept(persons: SequenceResult, tmp_path) -> None:
    path = tmp_path / 'params.npz'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match=r'params\.npz'):
        persons.save(path)
    assert path.read_text() == 'precious'
    persons.save(path, overwrite=True)
    assert_equal(persons, SequenceResult.load(path))


def test_select_keeps_frames(persons: SequenceResult) -> None:
    one = persons.select(persons.person_id == 4)
    assert one.frame_index.tolist() == [0, 3]
    assert one.num_frames == 4
    assert one.fps == persons.fps
    nobody = persons.select(np.zeros(5, bool))
    assert len(nobody) == 0


def test_smplx_parameters_pose_the_body(persons, layer) -> None:
    rows = persons.rows(3)
    parameters = persons.smplx_parameters(rows)
    assert list(parameters) == list(SMPLX_ARGUMENTS)
    body = layer(**parameters, return_vertices=False)
    still = layer(betas=torch.full((1, 10), 3.0), return_vertices=False)
    offset = torch.tensor([[[7.0, 0, 5]], [[4.0, 0, 5]]])
    torch.testing.assert_close(body.joints, still.joints + offset)


def test_file_is_a_call_of_the_smplx_package(
    dancers, layer, free_body_dir, tmp_path
) -> None:
    """Nothing but NumPy and that package is needed to have the bodies."""
    smplx = pytest.importorskip('smplx')
    dancers.save(tmp_path / 'params.npz')
    with np.load(tmp_path / 'params.npz') as arrays:
        parameters = {
            name: torch.from_numpy(arrays[name][:3])
            for name in SMPLX_ARGUMENTS
        }
        flat = bool(arrays['flat_hand_mean'])
        joints = arrays['joints3d'][:3]
    model = smplx.create(
        str(free_body_dir),
        'smplx',
        ext='npz',
        gender=dancers.gender,
        use_pca=False,
        flat_hand_mean=flat,
        batch_size=3,
    )
    with torch.no_grad():
        theirs = model(**parameters)
        ours = layer(**parameters)
    np.testing.assert_allclose(theirs.vertices, ours.vertices, atol=1e-5)
    # The first 55 joints are the same in all of its versions.
    np.testing.assert_allclose(
        theirs.joints[:, :55], joints[:, :55], atol=1e-4
    )


@pytest.mark.parametrize(
    'name, value, message',
    [
        ('betas', np.zeros((5, 9)), r'betas must have shape \(5, 10\)'),
        ('betas', np.full((5, 10), np.nan), 'betas must be finite, row 0'),
        ('scores', np.full(5, 1e300), 'scores must be finite'),
        ('scores', np.array(['a'] * 5), 'scores must be float32'),
        ('person_id', np.zeros(5), 'person_id must be int64'),
        ('person_id', np.zeros(5, int), 'person_id 0 occurs twice in frame 0'),
        ('frame_index', np.array([0, 0, 2, 3, 4]), r'must be in 0\.\.3'),
        ('frame_index', np.array([0, 0, 2, 1, 3]), 'ascend; row 3'),
        ('frame_index', np.zeros((5, 1), int), 'frame_index must have shape'),
        ('K', np.zeros((4, 3, 3)), 'K must be'),
        ('image_sizes', np.zeros((4, 2), int), 'image_sizes must be'),
        ('timestamps', np.full(4, np.nan), 'timestamps must be finite'),
        ('frame_names', np.arange(4), 'frame_names must be str'),
        ('fps', -1, 'fps must be a finite number, not negative'),
        ('fps', None, 'fps must be a finite number'),
        ('gender', 'unknown', 'gender must be one of'),
        ('units', 'mm', "units must be 'm'"),
        ('flat_hand_mean', True, 'flat_hand_mean must be False'),
        ('source', 3, 'source must be text'),
    ],
)
def test_wrong_values_are_refused(
    persons: SequenceResult, name, value, message
) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(persons, **{name: value})


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'transl': None}, "array 'transl' is missing"),
        ({'K': None}, "array 'K' is missing"),
        ({'format_version': None}, 'not a results file'),
        ({'format_version': 99}, 'has format_version 99'),
        ({'betas': np.zeros((5, 3))}, r'betas must have shape'),
        ({'fps': np.zeros(4)}, 'fps must be one value'),
        ({'fps': 'many'}, 'params.npz: '),
    ],
)
def test_wrong_files_are_refused(
    persons: SequenceResult, tmp_path, changes, message
) -> None:
    persons.save(tmp_path / 'good.npz')
    arrays = load_npz(tmp_path / 'good.npz') | changes
    path = tmp_path / 'params.npz'
    save_npz(path, {k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=message) as caught:
        SequenceResult.load(path)
    assert str(path) in str(caught.value)


def test_objects_and_damage_are_refused(
    persons: SequenceResult, tmp_path
) -> None:
    np.savez(tmp_path / 'o.npz', format_version=1, betas=np.array([{}]))
    with pytest.raises(ValueError, match='Python objects'):
        SequenceResult.load(tmp_path / 'o.npz')
    persons.save(tmp_path / 'p.npz')
    data = (tmp_path / 'p.npz').read_bytes()
    (tmp_path / 'half.npz').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r'half\.npz: truncated'):
        SequenceResult.load(tmp_path / 'half.npz')
    with pytest.raises(FileNotFoundError):
        SequenceResult.load(tmp_path / 'none.npz')


def test_other_arrays_in_a_file_are_ignored(
    persons: SequenceResult, tmp_path
) -> None:
    persons.save(tmp_path / 'p.npz')
    arrays = load_npz(tmp_path / 'p.npz') | {'notes': 'mine'}
    save_npz(tmp_path / 'q.npz', arrays)
    assert_equal(persons, SequenceResult.load(tmp_path / 'q.npz'))


def test_frames_must_agree(make_frame) -> None:
    with_meshes = make_frame(0, (1,), vertices=np.zeros((1, 5, 3)))
    with pytest.raises(ValueError, match="'000001' has no field 'vertices'"):
        SequenceResult.from_frames([with_meshes, make_frame(1, (1,))])
    other = make_frame(1, (1,), vertices=np.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match='vertices must have the same size'):
        SequenceResult.from_frames([with_meshes, other])


def test_frame_result_checks(make_frame) -> None:
    frame = make_frame(3, (1, 2))
    with pytest.raises(ValueError, match="'000003': person_id 1 occurs"):
        frame.with_fields(person_id=np.array([1, 1]))
    with pytest.raises(ValueError, match="unknown field 'pose'"):
        frame.with_fields(pose=np.zeros((2, 3)))
    with pytest.raises(ValueError, match='K must be'):
        dataclasses.replace(frame, K=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="'000003': field 'betas' is missing"):
        frame.with_fields(betas=None)


def test_frame_result_select(make_frame) -> None:
    frame = make_frame(0, (1, 2, 3))
    assert frame.select([2, 0]).instances['person_id'].tolist() == [3, 1]
    mask = np.array([False, True, False])
    assert frame.select(mask).instances['bboxes'].tolist() == [
        [12, 22, 112, 222]
    ]
    assert len(frame.select([])) == 0


def prediction(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Fields as ``aios.results.predictions_of`` gives them."""
    rng = np.random.default_rng(seed)
    fields = complete_instances(
        person_id=np.arange(count),
        **{
            name: rng.random((count, *np.abs(field.shape)))
            for name, field in PERSON_FIELDS.items()
            if name not in ('person_id', 'leye_pose', 'reye_pose')
        },
    )
    names = {
        name: f'smplx_{name}' if name in SMPLX_ARGUMENTS else name
        for name in fields
        if name not in ('person_id', 'leye_pose', 'reye_pose')
    }
    return {
        **{new: fields[name] for name, new in names.items()},
        'labels': np.ones(count, int),
        'lhand_keypoints': np.zeros((count, 6, 2)),
        'cam_K': np.diag([500.0, 500.0, 1.0]),
    }


def test_from_prediction_adds_the_translation() -> None:
    fields = prediction(2)
    frame = FrameResult.from_prediction(
        fields, name='street', size=(64, 48), with_vertices=True
    )
    persons = frame.instances
    transl = fields['smplx_transl'][:, None]
    for name in ('joints3d', 'vertices'):
        np.testing.assert_allclose(persons[name], fields[name] + transl)
    np.testing.assert_array_equal(persons['betas'], fields['smplx_betas'])
    assert persons['person_id'].tolist() == [0, 1]
    assert not persons['leye_pose'].any()
    assert frame.K.tolist() == fields['cam_K'].tolist()
    bare = FrameResult.from_prediction(fields, 'street', (64, 48))
    assert 'vertices' not in bare.instances


def test_from_prediction_without_persons() -> None:
    frame = FrameResult.from_prediction(prediction(0), 'empty', (64, 48))
    assert len(frame) == 0


def test_from_prediction_drops_what_is_not_finite() -> None:
    fields = prediction(3)
    fields['smplx_body_pose'][1, 5] = np.nan
    frame = FrameResult.from_prediction(fields, 'street', (64, 48))
    kept = fields['scores'][[0, 2]]
    np.testing.assert_array_equal(frame.instances['scores'], kept)
    assert frame.instances['person_id'].tolist() == [0, 1]


def test_from_prediction_names_what_is_missing() -> None:
    for name in ('cam_K', 'smplx_betas'):
        fields = prediction(1)
        del fields[name]
        with pytest.raises(ValueError, match=name.removeprefix('smplx_')):
            FrameResult.from_prediction(fields, 'street', (64, 48))


def test_select_frames(persons: SequenceResult) -> None:
    some = persons.select_frames([1, 3])
    assert some.num_frames == 2
    assert some.frame_names.tolist() == ['000001', '000003']
    assert some.frame_index.tolist() == [1, 1]
    assert some.person_id.tolist() == [7, 4]
    assert some.timestamps.tolist() == persons.timestamps[[1, 3]].tolist()
    assert len(persons.select_frames(slice(0, 0))) == 0
    for frames in ([3, 1], [1, 1], slice(None, None, -1)):
        with pytest.raises(ValueError, match='frames must ascend, got'):
            persons.select_frames(frames)
