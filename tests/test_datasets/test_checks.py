# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""check_humandata finds planted faults, and --fix removes them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from script_loader import load_script

from aios.datasets import HumanData
from aios.datasets.checks import check_human_data
from aios.datasets.repair import fix
from aios.structures import HUMAN_DATA_190


@pytest.fixture
def bedlam(converted, models):
    """A good file, its images, its models."""
    root, _, out, _ = converted('bedlam')
    return out, root / 'train_images', models


@pytest.fixture
def data(bedlam):
    content = HumanData.load(bedlam[0])
    content.decompress()
    return content


@pytest.fixture
def command(bedlam, capsys):
    """Function that runs the command -> exit code and output."""
    main = load_script('tools/misc/check_humandata.py').main

    def run(path, *options, models=bedlam[2]):
        argv = [path, '--body-models', models, *options]
        code = main([str(argument) for argument in argv])
        return code, capsys.readouterr().out

    return run


def checks(data, bedlam, images=True):
    _, root, models = bedlam
    return check_human_data(data, root if images else None, models)


def names(report):
    return {finding.check for finding in report.errors}


def test_good_file(data, bedlam):
    report = checks(data, bedlam)
    assert not report.findings, str(report)
    assert report.flat_hands is True
    assert '6 images, 9 persons' in str(report)
    assert report.facts['images'] == '6 exist, 6 opened'


def _swap(data, key, one, other):
    points = data[key]
    points[:, [*one, *other]] = points[:, [*other, *one]]


def _no_hand_convention(data):
    # Such files are read as relative to the mean hand, which is wrong here.
    data['misc'] = {}
    del data['smplx']['flat_hand_mean']


def _other_hand(data):
    data['smplx']['left_hand_pose'] = data['smplx']['left_hand_pose'] + 0.5


def _in_millimeters(data):
    data['keypoints3d_smplx'][..., :3] *= 1000


def _in_hectometers(data):
    data['keypoints3d_smplx'][..., :3] *= 0.01


def _as_shares_of_the_image(data):
    data['keypoints2d_smplx'][..., :2] /= (1280, 720)


def _swapped_hands(data):
    hands = (HUMAN_DATA_190.groups[f'{s}_hand'] for s in ('left', 'right'))
    _swap(data, 'keypoints2d_smplx', *hands)


def _wider_images(data):
    data['meta']['width'] = np.full(9, 1300)


@pytest.mark.parametrize(
    ('plant', 'found'),
    [
        (_no_hand_convention, {'hand convention'}),
        (_other_hand, {'hand convention'}),
        (_in_millimeters, {'units', 'hand convention'}),
        (_in_hectometers, {'units', 'hand convention'}),
        (
            _as_shares_of_the_image,
            {'body joints', 'lhand joints', 'rhand joints'},
        ),
        (_swapped_hands, {'lhand joints', 'rhand joints'}),
        (_wider_images, {'image size'}),
    ],
)
def test_planted_faults_are_found(data, bedlam, plant, found):
    plant(data)
    assert names(checks(data, bedlam)) == found


@pytest.mark.parametrize('size', [-1, 1e308, np.inf])
def test_sizes_that_no_image_has(data, bedlam, size):
    data['meta']['width'] = np.array(data['meta']['width'], float)
    data['meta']['width'][:2] = size
    finding, opened = (
        f for f in checks(data, bedlam).findings if f.check == 'image size'
    )
    assert finding.rows.tolist() == [0, 1]
    assert str(size) in finding.example
    assert f', {size:g}' in opened.example


def test_rows_are_dropped(data, bedlam):
    data['smplx']['betas'][0, 3] = np.nan
    data['bbox_xywh'][2, 2] = 0
    data['bbox_xywh'][4] = data['bbox_xywh'][3]
    data['image_path'] = data['image_path'][:8] + ['elsewhere/a.png']
    data.set_frame_range()
    report = checks(data, bedlam)
    assert names(report) == {'not finite', 'empty box', 'missing image'}
    rows = {f.check: f.rows.tolist() for f in report.findings}
    assert rows['duplicate'] == [4]
    assert rows['missing image'] == [8]
    fixed, _ = fix(data, report)
    assert len(fixed) == 5
    assert not checks(fixed, bedlam).findings
    np.testing.assert_array_equal(
        fixed['keypoints3d_smplx'], data['keypoints3d_smplx'][[1, 3, 5, 6, 7]]
    )
    assert fixed['meta']['gender'] == ['neutral'] * 5


def test_duplicate_of_a_broken_row(data, bedlam):
    """One of two rows with the same box stays."""
    data['smplx']['betas'][3, 3] = np.nan
    data['bbox_xywh'][4] = data['bbox_xywh'][3]
    fixed, _ = fix(data, checks(data, bedlam))
    np.testing.assert_array_equal(
        fixed['bbox_xywh'], data['bbox_xywh'][[0, 1, 2, 4, 5, 6, 7, 8]]
    )


@pytest.mark.parametrize(('value', 'is_error'), [(1.5, False), (80, True)])
def test_odd_confidences(data, bedlam, value, is_error):
    data['keypoints2d_smplx'][2, 7, 2] = value
    report = checks(data, bedlam, images=False)
    found = [f for f in report.findings if f.check == 'confidence']
    assert {tuple(f.rows) for f in found} == {(2,)}
    assert bool(report.errors) == is_error


def test_absent_joints_may_be_nan(data, bedlam):
    data['keypoints2d_smplx'][2, 7] = np.nan, np.nan, 0
    assert not checks(data, bedlam, images=False).findings
    data['keypoints2d_smplx'][2, 7, 2] = 1
    assert names(checks(data, bedlam, images=False)) == {'not finite'}


def test_joints_without_hands(data, bedlam):
    """The convention of hands cannot be measured, which is no error."""
    data['keypoints3d_smplx'][:, [10, 11, *range(25, 55)]] = 0
    report = checks(data, bedlam, images=False)
    assert not report.findings
    assert 'no joints of hands' in report.facts['hands']
    data['smplx']['body_pose'] = data['smplx']['body_pose'] + 0.5
    report = checks(data, bedlam, images=False)
    assert [finding.check for finding in report.findings] == ['body fit']


def test_without_body_models(data, tmp_path):
    report = check_human_data(data, None, str(tmp_path))
    assert 'not checked' in report.facts['hands']
    assert not report.errors


def test_damaged_body_model(bedlam, command, tmp_path):
    (tmp_path / 'SMPLX_NEUTRAL.npz').write_bytes(b'no zip archive')
    code, text = command(bedlam[0], models=tmp_path)
    assert code == 2
    assert 'error: ' in text
    assert 'SMPLX_NEUTRAL.npz' in text


EYES = [[HUMAN_DATA_190.index(f'{s}_eyeball')] for s in ('left', 'right')]


def _swap_eyes(data):
    for key in ('keypoints2d_smplx', 'keypoints3d_smplx'):
        _swap(data, key, *EYES)


@pytest.mark.parametrize('convention', ['human_data', 'smplx'])
def test_only_swapped_eyes_are_swapped(data, bedlam, convention):
    """Eyeballs of other keypoints stay as they are."""
    truth = {
        key: data[key][:, :144].copy()
        for key in ('keypoints2d_smplx', 'keypoints3d_smplx')
    }
    if convention == 'smplx':
        for key, points in truth.items():
            data[key] = points.copy()
            data[f'{key}_convention'] = convention
            del data[f'{key}_mask']
    _swap(data, 'keypoints3d_smplx', *EYES)
    fixed, done = fix(data, checks(data, bedlam))
    assert done == ['swapped the eyeballs of keypoints3d_smplx']
    for key, points in truth.items():
        np.testing.assert_array_equal(fixed[key][:, :144], points)


def _empty_box(data):
    data['bbox_xywh'][2, 2] = 0


def _duplicate(data):
    data['bbox_xywh'][1] = data['bbox_xywh'][0]


def _other_hands(data):
    data['misc'] = {'flat_hand_mean': False}


@pytest.mark.parametrize(
    ('plant', 'found', 'code', 'left'),
    [
        (_empty_box, 'empty box', 1, 8),
        (_duplicate, 'duplicate', 0, 8),
        (_other_hands, 'hand convention', 1, 9),
        (_swap_eyes, 'eye order', 1, 9),
    ],
)
def test_command_finds_and_fixes(
    data, bedlam, command, tmp_path, plant, found, code, left
):
    """Each fault has its line, and the repaired file has none."""
    plant(data)
    broken, fixed = tmp_path / 'broken.npz', tmp_path / 'fixed.npz'
    data.dump(broken)
    options = '--images', bedlam[1]
    status, text = command(broken, *options, '--fix', fixed)
    assert status == code
    lines = [line for line in text.splitlines() if line[8:].startswith(found)]
    assert lines[0].startswith('ERROR' if code else 'warning')
    assert 'fixed: ' in text
    assert command(broken, *options, '--fix', fixed)[0] == 2  # exists
    status, text = command(fixed, *options)
    assert status == 0
    assert '0 errors, 0 warnings' in text
    assert len(HumanData.load(fixed)) == left


def test_undecodable_image(data, bedlam, tmp_path):
    root = tmp_path / 'images'
    shutil.copytree(bedlam[1], root)
    (root / data['image_path'][0]).write_bytes(b'noise')
    report = check_human_data(data, root, bedlam[2])
    assert 'image' in names(report)
    assert data['image_path'][0] in str(report)


def test_boxes_of_parts_from_bodies(data, bedlam):
    parts = ('lhand', 'rhand')  # there is no expression
    truth = {part: data[f'{part}_bbox_xywh'].copy() for part in parts}
    for part in parts:
        del data[f'{part}_bbox_xywh']
    report = checks(data, bedlam)
    found = {finding.check for finding in report.findings}
    assert found == {f'{part} boxes' for part in parts}
    fixed, done = fix(data, report, model_path=bedlam[2])
    assert any('9 persons; 0 ' in line for line in done)
    for part in parts:
        boxes = fixed[f'{part}_bbox_xywh']
        np.testing.assert_allclose(boxes, truth[part], atol=0.05)


def test_boxes_from_the_bodies_that_give_the_joints(data, bedlam):
    """BEDLAM's bodies are neutral, whatever the gender of the actor."""
    truth = data['lhand_bbox_xywh'].copy()
    del data['lhand_bbox_xywh']
    data['meta']['gender'] = ['male'] * 9
    fixed, _ = fix(data, checks(data, bedlam), model_path=bedlam[2])
    boxes = fixed['lhand_bbox_xywh']
    np.testing.assert_allclose(boxes, truth, atol=0.05)


def test_no_boxes_from_bodies_elsewhere(data, bedlam):
    del data['lhand_bbox_xywh']
    data['smplx']['transl'][0] += 1.0
    fixed, done = fix(data, checks(data, bedlam), model_path=bedlam[2])
    assert any('8 persons; 1 ' in line for line in done)
    assert fixed['lhand_bbox_xywh'][0, 4] == 0
    meta = {k: v for k, v in data['meta'].items() if k != 'focal_length'}
    data['meta'] = meta
    fixed, done = fix(data, checks(data, bedlam), model_path=bedlam[2])
    assert 'lhand_bbox_xywh' not in fixed
    assert any('no boxes of lhand' in line for line in done)


def test_sizes_and_genders_are_repaired(data, bedlam, command, tmp_path):
    """What mmhuman3d's converters write: no sizes, and m, f."""
    meta = dict(data['meta'])
    truth = [meta.pop(key) for key in ('height', 'width')]
    genders = list(meta['gender'])
    meta['gender'] = [g[0].upper() for g in genders]
    broken, fixed = tmp_path / 'broken.npz', tmp_path / 'fixed.npz'
    np.savez(broken, **{key: data[key] for key in data} | {'meta': meta})
    options = '--images', bedlam[1]
    code, text = command(broken, *options)
    assert code == 2
    assert 'unknown_gender' in text
    _, text = command(broken, *options, '--fix', fixed)
    assert 'fixed: genders of 9 rows' in text
    assert 'width of 6 images' in text
    repaired = HumanData.load(fixed)['meta']
    assert list(repaired['gender']) == genders
    for key, values in zip(('height', 'width'), truth, strict=True):
        assert np.array_equal(repaired[key], values)


# -- files of others ----------------------------------------------------------


def test_no_person(data, command, tmp_path):
    """A file without a row is told, and cannot be repaired."""
    path, out = tmp_path / 'none.npz', tmp_path / 'fixed.npz'
    content = {
        key: value
        if key.endswith(('_mask', '_convention')) or key == 'config'
        else value[:0]
        for key, value in data.items()
        if key not in ('smplx', 'meta', 'misc', 'frame_range')
    }
    np.savez(path, **content)
    code, text = command(path)
    assert code == 1
    assert 'there is no person' in text
    code, text = command(path, '--fix', out)
    assert code == 2
    assert '[no_persons]' in text
    assert not out.exists()


def test_all_persons_is_dropped(data, command, tmp_path):
    data['bbox_xywh'][:, 2] = 0
    data.dump(tmp_path / 'broken.npz')
    code, text = command(
        tmp_path / 'broken.npz', '--fix', tmp_path / 'new.npz'
    )
    assert code == 2
    assert 'no person is left: dropped 9 rows: empty box' in text


@pytest.mark.parametrize(
    ('key', 'words'),
    [
        ('image_path', 'there is no image_path'),
        ('bbox_xywh', 'there is no bbox_xywh'),
        ('smplx', 'no SMPL-X fits'),
        ('meta', 'no meta.height'),
    ],
)
def test_without_a_key(data, bedlam, command, tmp_path, key, words):
    """What is absent is told, too."""
    del data[key]
    data.dump(tmp_path / 'broken.npz')
    options = '--images', bedlam[1], '--fix', tmp_path / 'new.npz'
    code, text = command(tmp_path / 'broken.npz', *options)
    assert code in (0, 1, 2)
    assert words in text


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('height', ['tall'] * 9, 'must be an array of numbers'),
        ('width', 1280, 'must be a list, one entry per row, got 1280'),
        ('is_kid', np.ones((9, 2)), 'one number per row, got shape (9, 2)'),
    ],
)
def test_other_meta(bedlam, command, tmp_path, name, value, words):
    content = dict(np.load(bedlam[0], allow_pickle=True))
    content['meta'] = {**content['meta'].item(), name: value}
    np.savez(tmp_path / 'meta.npz', **content)
    code, text = command(tmp_path / 'meta.npz')
    assert code == 2
    assert f'meta.{name}' in text
    assert words in text


def test_neutral_bodies_of_named_genders(data, bedlam):
    """BEDLAM's labels name genders of actors; the bodies are neutral."""
    data['meta']['gender'] = ['male', 'female', 'male'] * 3
    report = checks(data, bedlam)
    assert not report.findings, str(report)
    assert 'neutral model' in report.facts['bodies']
