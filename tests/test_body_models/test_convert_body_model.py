# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The converter writes plain files and says what it did."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from script_loader import load_script

from aios.body_models import find_body_model, load_body_model_arrays


@pytest.fixture(scope='module')
def convert():
    """The tool's ``main``."""
    module = load_script('tools/model_converters/convert_body_model.py')
    return lambda *args: module.main([str(arg) for arg in args])


@pytest.fixture
def pickled(tmp_path: Path, free_body_dir: Path) -> Path:
    arrays = load_body_model_arrays(find_body_model(free_body_dir))
    content = arrays | {
        'J_regressor': sparse.csc_matrix(arrays['J_regressor']),
        'part2num': {'head': 15},
        'bs_style': 'lbs',
    }
    path = tmp_path / 'SMPLX_NEUTRAL.pkl'
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def test_pkl_becomes_plain_npz(
    convert, pickled: Path, free_body_dir: Path, capsys
) -> None:
    out = pickled.parent / 'plain'
    assert convert(pickled, '--out', out) == 0
    report = capsys.readouterr().out
    assert 'complete SMPL-X model' in report
    assert 'part2num' in report and 'left out: dict' in report
    expected = load_body_model_arrays(find_body_model(free_body_dir))
    with np.load(out / 'SMPLX_NEUTRAL.npz', allow_pickle=False) as file:
        assert 'part2num' not in file.files
        assert file['bs_style'] == 'lbs'
        for name, array in expected.items():
            np.testing.assert_array_equal(file[name], array)


def test_two_sources_of_one_name(convert, tmp_path: Path, capsys) -> None:
    sources = []
    for gender in ('male', 'female'):  # the folders of SMPL-H
        sources.append(tmp_path / gender / 'model.npz')
        sources[-1].parent.mkdir()
        np.savez(sources[-1], v_template=np.zeros((2, 3)))
    with pytest.raises(SystemExit):
        convert(*sources, '--out', tmp_path / 'out', '--overwrite')
    assert 'would be the same file' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_errors_leave_existing_files_alone(
    convert, pickled: Path, capsys
) -> None:
    target = pickled.with_suffix('.npz')
    target.write_text('mine')
    evil = pickled.with_name('evil.pkl')
    evil.write_bytes(pickle.dumps({'v_template': print}))
    assert convert(pickled, evil, pickled.with_name('none.pkl')) == 1
    assert target.read_text() == 'mine'
    errors = capsys.readouterr().err
    for message in ('not overwritten', 'builtins.print', 'none.pkl'):
        assert message in errors
    assert not evil.with_suffix('.npz').exists()
    assert convert(pickled, '--overwrite', '--no-compress') == 0
    assert load_body_model_arrays(target)


def test_other_models_are_converted_with_a_remark(
    convert, tmp_path: Path, capsys
) -> None:
    path = tmp_path / 'MANO_LEFT.pkl'
    path.write_bytes(pickle.dumps({'v_template': np.zeros((778, 3))}))
    assert convert(path) == 0
    assert 'not usable as an SMPL-X model' in capsys.readouterr().out
    assert path.with_suffix('.npz').exists()
