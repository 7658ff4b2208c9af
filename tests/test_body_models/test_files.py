# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Finding, reading and refusing body-model files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_pickles import Call
from scipy import sparse

from aios.body_models import (
    BodyModelFileError,
    MissingBodyModelError,
    SMPLXLayer,
    find_body_model,
    find_smpl,
    load_body_model_arrays,
    load_j14_regressor,
    load_vertex_ids,
)
from aios.body_models.files import check_body_model_arrays
from aios.utils.safe_io import UnsafeFileError, load_npz


@pytest.fixture(scope='module')
def arrays(free_body_dir: Path) -> dict[str, np.ndarray]:
    arrays = load_body_model_arrays(find_body_model(free_body_dir))
    arrays['shapedirs'] = arrays['shapedirs'][..., :20]  # files stay small
    return arrays


# -------------------------------------------------------------------- finding
def test_root_folder_or_file(free_body_dir: Path) -> None:
    expected = free_body_dir / 'smplx' / 'SMPLX_FEMALE.npz'
    for path in (free_body_dir, str(free_body_dir / 'smplx'), expected):
        assert find_body_model(path, 'female') == expected


def test_pkl_when_there_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / 'SMPLX_MALE.pkl').touch()
    assert find_body_model(tmp_path, 'male').suffix == '.pkl'
    (tmp_path / 'SMPLX_MALE.npz').touch()
    assert find_body_model(tmp_path, 'male').suffix == '.npz'


def test_environment_then_data_folder(tmp_path: Path, monkeypatch) -> None:
    here, there = tmp_path / 'data/body_models', tmp_path / 'elsewhere'
    for folder in (here, there):
        folder.mkdir(parents=True)
        (folder / 'SMPLX_NEUTRAL.npz').touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('AIOS_BODY_MODELS', raising=False)
    assert find_body_model().resolve().parent == here
    monkeypatch.setenv('AIOS_BODY_MODELS', str(there))
    assert find_body_model().parent == there


def test_body_models_move_with_the_data(tmp_path: Path, monkeypatch) -> None:
    """One variable moves everything."""
    monkeypatch.delenv('AIOS_BODY_MODELS', raising=False)
    monkeypatch.setenv('AIOS_DATA', str(tmp_path))
    folder = tmp_path / 'body_models/smplx'
    with pytest.raises(MissingBodyModelError, match=str(folder)):
        find_body_model()
    folder.mkdir(parents=True)
    (folder / 'SMPLX_NEUTRAL.npz').touch()
    assert find_body_model().parent == folder


def test_free_body_is_expanded_on_demand(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path))
    path = find_body_model('free', 'male')
    assert path.is_file() and tmp_path in path.parents


@pytest.mark.parametrize('name', ['', 'nowhere', 'nowhere/SMPLX_NEUTRAL.npz'])
def test_missing_file_says_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingBodyModelError) as caught:
        find_body_model(tmp_path / name)
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert 'https://smpl-x.is.tue.mpg.de' in message
    assert "model_path='free'" in message
    assert 'AIOS_BODY_MODELS' in message
    assert isinstance(caught.value, FileNotFoundError)


def test_file_of_another_gender(free_body_dir: Path) -> None:
    neutral, male = (
        free_body_dir / f'smplx/SMPLX_{gender}.npz'
        for gender in ('NEUTRAL', 'MALE')
    )
    assert find_body_model(male) == male
    assert find_body_model(male, 'male') == male
    for path, gender in ((neutral, 'male'), (male, 'female')):
        message = f'a {gender} one is needed'
        with pytest.raises(MissingBodyModelError, match=message):
            find_body_model(path, gender)


@pytest.mark.parametrize(
    'find, name, other',
    [
        (find_body_model, 'SMPLX_NEUTRAL_2020.npz', 'male'),
        (find_body_model, 'SMPLX_MALE_2020.npz', 'female'),
        (find_smpl, 'basicmodel_m_lbs_10_207_0_v1.1.0.pkl', 'female'),
        (find_smpl, 'basicModel_f_lbs_10_207_0_v1.0.0.pkl', 'male'),
        (find_smpl, 'basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl', 'male'),
    ],
)
def test_official_names_tell_the_gender(
    find: Any, name: str, other: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.touch()
    assert find(path) == path
    with pytest.raises(MissingBodyModelError, match=f'a {other} one'):
        find(path, other)


def test_unknown_gender(free_body_dir: Path) -> None:
    with pytest.raises(ValueError, match="neutral.*got 'x'"):
        find_body_model(free_body_dir, 'x')


# -------------------------------------------------------------------- reading
def test_pickled_model_equals_npz(tmp_path: Path, arrays) -> None:
    content = arrays | {
        'J_regressor': sparse.csc_matrix(arrays['J_regressor']),
        'v_template': arrays['v_template'].astype('>f8'),
        'bs_style': 'lbs',
        'part2num': {'head': 1},
    }
    path = tmp_path / 'SMPLX_NEUTRAL.pkl'
    path.write_bytes(pickle.dumps(content, protocol=2))
    loaded = load_body_model_arrays(path)
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    layer = SMPLXLayer(path)
    np.testing.assert_array_equal(layer.v_template, arrays['v_template'])


def test_objects_in_a_model_are_not_even_read(tmp_path, arrays) -> None:
    attack = Call(Path.touch, tmp_path / 'canary')
    path = tmp_path / 'SMPLX_NEUTRAL.npz'
    np.savez(path, **arrays, part2num=np.array([attack], dtype=object))
    assert set(load_body_model_arrays(path)) == set(arrays)
    attack = np.array([attack], dtype=object)
    np.savez(path, **arrays | {'shapedirs': attack})
    with pytest.raises(UnsafeFileError, match='SMPLX_NEUTRAL.npz.shapedirs'):
        load_body_model_arrays(path)
    assert not (tmp_path / 'canary').exists()


def _changed(array: np.ndarray, index: tuple, value: float) -> np.ndarray:
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        (
            'posedirs',
            lambda a: a[..., :207],
            r'expected shape \(10475, 3, 486',
        ),
        ('v_template', lambda a: a[:6890], r'\(10475, 3\), got \(6890, 3\)'),
        ('v_template', lambda a: _changed(a, (3, 1), np.nan), 'NaN'),
        ('shapedirs', lambda a: a.astype('U8'), 'dtype'),
        ('f', lambda a: _changed(a, (0, 0), 10475), r'0\.\.10474'),
        ('lmk_faces_idx', lambda a: a - 10**6, r'0\.\.20907'),
        (
            'kintree_table',
            lambda a: _changed(a, (0, 5), 9),
            'joint 5.*parent 9',
        ),
        ('weights', lambda a: _changed(a, (7, 0), 3.0), 'row 7.*sum to 1'),
    ],
)
def test_bad_arrays_are_named(arrays, name: str, change, message: str) -> None:
    bad = arrays | {name: change(arrays[name])}
    with pytest.raises(BodyModelFileError, match=message) as caught:
        check_body_model_arrays(bad, 'some/file.npz')
    assert f'some/file.npz[{name}]' in str(caught.value)


def test_smpl_files_do_not_pass(tmp_path: Path) -> None:
    path = tmp_path / 'SMPL_NEUTRAL.pkl'
    path.write_bytes(pickle.dumps({'v_template': np.zeros((6890, 3))}))
    with pytest.raises(BodyModelFileError, match='lacks f, shapedirs.*SMPL'):
        load_body_model_arrays(path)


@pytest.mark.parametrize('name', ['SMPLX_NEUTRAL.pkl', 'SMPLX_NEUTRAL.txt'])
def test_other_content_does_not_pass(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(BodyModelFileError, match=name):
        load_body_model_arrays(tmp_path / name)


# ------------------------------------------------------------------ side files
def test_vertex_ids(free_body_dir: Path) -> None:
    for path in (free_body_dir, find_body_model(free_body_dir)):
        ids = load_vertex_ids(path)
        assert {k: v.shape for k, v in ids.items()} == {
            'left_hand': (778,),
            'right_hand': (778,),
            'face': (5023,),
        }
    arrays = load_npz(find_body_model(free_body_dir), ['v_template'])
    left = arrays['v_template'][ids['left_hand']]
    assert left[:, 0].min() > 0.5  # the body's left is at positive x


def test_j14_regressor(free_body_dir: Path) -> None:
    assert load_j14_regressor(free_body_dir).shape == (14, 10475)


def test_missing_side_files(tmp_path: Path) -> None:
    with pytest.raises(MissingBodyModelError, match='MANO_SMPLX_vertex_ids'):
        load_vertex_ids(tmp_path)
    with pytest.raises(MissingBodyModelError, match='SMPLX_to_J14'):
        load_j14_regressor(tmp_path)


@pytest.mark.parametrize(
    ('hands', 'message'),
    [
        ([1, 2], "'left_hand' and 'right_hand'"),
        ({'left_hand': np.arange(778)}, 'right_hand'),
        (
            {'left_hand': np.zeros(778, int), 'right_hand': np.arange(778)},
            r'left_hand\].*778 distinct',
        ),
        (
            {'left_hand': np.arange(778), 'right_hand': np.arange(778) * 99},
            r'right_hand\].*0\.\.10474',
        ),
    ],
)
def test_bad_vertex_ids(tmp_path: Path, hands: object, message: str) -> None:
    path = tmp_path / 'MANO_SMPLX_vertex_ids.pkl'
    path.write_bytes(pickle.dumps(hands))
    np.save(tmp_path / 'SMPL-X__FLAME_vertex_ids.npy', np.arange(5023))
    with pytest.raises(BodyModelFileError, match=message):
        load_vertex_ids(tmp_path)


def test_bad_j14_regressor(tmp_path: Path) -> None:
    path = tmp_path / 'SMPLX_to_J14.pkl'
    for content in (
        np.zeros((14, 6890)),
        {'a': 1},
        np.zeros((14, 10475), 'O'),
    ):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(BodyModelFileError, match='SMPLX_to_J14.pkl'):
            load_j14_regressor(tmp_path)
