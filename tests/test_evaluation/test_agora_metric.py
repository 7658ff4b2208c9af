# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's protocol from data samples to numbers."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from toy_agora import EMPTY, NAMES, OTHER
from toy_dataframe import dump_dataframe
from toy_persons import numbers_of

from aios.body_models import MissingBodyModelError
from aios.evaluation.agora import (
    AGORAGroundTruth,
    convert_ground_truth,
    image_name,
    load_part_vertices,
)
from aios.evaluation.metrics import AGORAMetric


@pytest.fixture
def evaluate(toy, free_body_dir):
    def run(samples, **options):
        arguments = {
            'ground_truth': str(toy.folder),
            'body_models': str(free_body_dir),
            'body_vertices': 'complement',
            **options,
        }
        return numbers_of(AGORAMetric(**arguments), samples)

    return run


def errors_of(result):
    return {
        name: value
        for name, value in result.items()
        if name.endswith(('MVE', 'MPJPE', 'NMJE'))
    }


def differences(result, base):
    assert result.keys() == base.keys()
    return {k: result[k] for k in result if result[k] != base[k]}


@pytest.mark.parametrize('size', [(2160, 3840), (720, 1280)])
def test_perfect_predictions(evaluate, toy, size):
    result = evaluate(toy.samples(size))
    assert set(errors_of(result).values()) == {0}
    assert len(errors_of(result)) == 28
    assert result['precision'] == result['recall'] == result['f1'] == 1
    assert result['persons'] == result['matched'] == 4
    assert result['kid-persons'] == 1
    assert result['images'] == 3
    assert result['images-with-predictions'] == 2


def test_rigid_motion(evaluate, toy):
    """Shifting a body changes nothing; turning it does."""
    perfect = evaluate(toy.samples())
    samples = toy.samples()
    for sample in samples:
        persons = sample['pred_instances']
        persons.joints3d += torch.tensor([1.0, -2, 3])
        persons.vertices += torch.tensor([1.0, -2, 3])
    assert differences(evaluate(samples), perfect) == {}

    persons = samples[0]['pred_instances']
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    persons.joints3d = persons.joints3d @ turn.T
    persons.vertices = persons.vertices @ turn.T
    changed = differences(evaluate(samples), perfect)
    names = {k for k in errors_of(perfect) if not k.startswith('kid')}
    assert set(changed) == names
    assert min(changed.values()) > 10


def test_image_without_predictions(evaluate, toy):
    """Its child is missed: there is no error of children any more."""
    result = evaluate([toy.sample(NAMES[0], [0, 2])])
    assert result['recall'] == 0.5
    assert result['kid-recall'] == result['kid-f1'] == 0
    assert not any(k.startswith('kid-') for k in errors_of(result))
    assert result['images'] == 3
    assert result['images-with-predictions'] == 1


def test_known_error(evaluate, toy):
    """The left hand of one of four persons by 16 mm, but for the wrist."""
    samples = toy.samples()
    persons = samples[0]['pred_instances']
    persons.joints3d[0, 25:40] += torch.tensor([0.016, 0, 0])
    result = evaluate(samples)
    nonzero = {k: v for k, v in errors_of(result).items() if v}
    # 15 of 16 joints, of one of four persons: 3.75 mm, a third for all
    assert nonzero == {
        'lhand-MPJPE': 3.8,
        'fullbody-MPJPE': 1.3,
        'fullbody-NMJE': 1.3,
    }
    exact = evaluate(samples, protocol='corrected')
    assert exact['lhand-MPJPE'] == pytest.approx(4, abs=1e-4)


def test_threshold_and_classes(evaluate, toy):
    samples = toy.samples()
    samples[0]['pred_instances'].scores[0] = 0.4
    assert evaluate(samples)['missed'] == 1
    assert evaluate(samples, score_thr=0.4)['missed'] == 0
    samples[1]['pred_instances'].labels[:] = 0
    assert evaluate(samples, score_thr=0.4)['missed'] == 2


@pytest.mark.parametrize('field', ['scores', 'joints2d', 'vertices'])
def test_broken_predictions_are_left_out_and_counted(evaluate, toy, field):
    samples = toy.samples()
    samples[0]['pred_instances'][field][0] = np.nan
    assert differences(evaluate(samples), evaluate(toy.samples())) == {
        'recall': 0.75,
        'f1': 0.86,
        'matched': 3,
        'missed': 1,
        'predictions-not-finite': 1,
    }


def test_repeated_image_counts_once(evaluate, toy):
    samples = toy.samples()
    assert evaluate([*samples, samples[0]]) == evaluate(samples)


def test_two_images_of_one_name_are_refused(evaluate, toy):
    samples = [toy.sample(NAMES[0]), toy.sample(NAMES[0], size=(720, 1280))]
    with pytest.raises(ValueError, match=f'have the same name {NAMES[0]}'):
        evaluate(samples)


def test_full_bodies_only(evaluate, toy):
    result = evaluate(toy.samples(), full_bodies_only=False)
    assert result['images'] == 4
    assert result['persons'] == result['matched'] == 5


def test_protocols(evaluate, toy):
    samples = toy.samples()
    samples[0] = toy.sample(NAMES[0], [0])
    samples[0]['pred_instances'].vertices += (
        torch.rand(10475, 3, generator=torch.Generator().manual_seed(0)) / 10
    )
    zero = evaluate(samples)['face-MVE']
    one = evaluate(samples, protocol='corrected')['face-MVE']
    assert one == pytest.approx(zero * 4 / 3, abs=0.1)
    with pytest.raises(ValueError, match='fair'):
        evaluate(samples, protocol='fair')
    with pytest.raises(ValueError, match='score_thr must be a number'):
        evaluate(samples, score_thr=float('nan'))


def test_order_of_names_decides_ties(evaluate, toy):
    """Of two bodies with the same keypoints ``_10`` comes before ``_2``."""
    sample = toy.sample(NAMES[1], [1] * 12)
    persons = sample['pred_instances']
    persons.scores = torch.linspace(0.9, 0.6, 12)
    persons.vertices += 0.1 * torch.rand(12, 10475, 3)
    persons.vertices[10] = torch.from_numpy(toy.crowds[NAMES[1]].vertices[1])
    worse = [i for i in range(12) if i not in (2, 10)]
    persons.joints2d[worse] += 5
    result = evaluate([sample])
    assert result['matched'] == 1
    assert result['body-MVE'] == 0


@pytest.fixture
def frames(toy, tmp_path):
    """Data frames of the first image with other cells."""

    def write(**changes):
        cells = {**toy._cells(NAMES[0]), **changes}
        folder = tmp_path / 'changed'
        folder.mkdir(exist_ok=True)
        path = folder / 'validation_0_SMPLX_withjv.pkl'
        dump_dataframe(path, {k: [v] for k, v in cells.items()})
        return folder

    return write


@pytest.mark.parametrize('occlusion', [95.0, np.nan, -1.0])
def test_valid_but_too_occluded_is_missed(evaluate, toy, frames, occlusion):
    """The official tool counts who is valid, and matches who is visible."""
    folder = str(frames(occlusion=[5.0, 30.0, occlusion]))
    samples = [toy.sample(NAMES[0], [0, 2])]
    result = evaluate(samples, ground_truth=folder)
    counts = ('persons', 'matched', 'missed', 'false-positives')
    assert [result[name] for name in counts] == [2, 1, 1, 1]
    corrected = evaluate(samples, ground_truth=folder, protocol='corrected')
    assert [corrected[name] for name in counts] == [1, 1, 0, 0]


@pytest.mark.parametrize('suffix', ['', '_1280x720'])
def test_frames_of_small_images(evaluate, toy, frames, suffix):
    """Keypoints at 1280 x 720, whatever the names of the images are."""
    cells = toy._cells(NAMES[0])
    folder = frames(
        imgPath=f'{NAMES[0]}{suffix}.png',
        gt_joints_2d=[points / 3 for points in cells['gt_joints_2d']],
    )
    result = evaluate([toy.sample(NAMES[0], [0, 2])], ground_truth=str(folder))
    assert result['matched'] == 2
    assert result['false-positives'] == 0
    truth = AGORAGroundTruth(folder)[NAMES[0]]
    np.testing.assert_allclose(
        truth.joints2d, np.stack(cells['gt_joints_2d']), rtol=1e-6
    )


def test_ground_truth_keeps_its_precision(toy, frames, tmp_path):
    cells = toy._cells(NAMES[0])
    exact = {
        name: np.asarray(cells[name], np.float64) + 1e-9
        for name in ('gt_joints_3d', 'gt_verts')
    }
    folder = frames(**exact)
    convert_ground_truth(folder, tmp_path / 'gt.npz')
    for path in (folder, tmp_path / 'gt.npz'):
        truth = AGORAGroundTruth(path)[NAMES[0]]
        np.testing.assert_array_equal(truth.joints3d, exact['gt_joints_3d'])
        np.testing.assert_array_equal(truth.vertices(), exact['gt_verts'])


def test_predictions_without_ground_truth_are_counted(evaluate, toy):
    """An image that the data frames lack, or that is not of full bodies."""
    base = evaluate(toy.samples())
    assert base['predictions-without-ground-truth'] == 1
    samples = toy.samples()
    for suffix in ('_x', '_y'):
        samples.append(toy.sample(NAMES[0], [0, 1, 2]))
        samples[-1]['img_path'] = f'images/{NAMES[0]}{suffix}.png'
    samples[-1]['pred_instances'].scores[1:] = 0.4  # below the threshold
    assert differences(evaluate(samples), base) == {
        'predictions-without-ground-truth': 5
    }
    assert evaluate([*samples, samples[-1]]) == evaluate(samples)
    result = evaluate(samples, full_bodies_only=False)
    assert result['predictions-without-ground-truth'] == 4


# -- ground truth --------------------------------------------------------


def test_converted_ground_truth_is_the_same(evaluate, toy, tmp_path):
    out = tmp_path / 'validation.npz'
    assert convert_ground_truth(toy.folder, out) == 4
    samples = toy.samples()
    samples[1]['pred_instances'].vertices *= 1.1
    assert evaluate(samples, ground_truth=str(out)) == evaluate(samples)
    with pytest.raises(FileExistsError):
        convert_ground_truth(toy.folder, out)
    convert_ground_truth(toy.folder, out, overwrite=True)


def test_ground_truth(toy):
    truth = AGORAGroundTruth(toy.folder)
    assert [image.name for image in truth] == [*NAMES, EMPTY]
    assert OTHER not in truth
    assert truth[NAMES[0]].valid.tolist() == [True, False, True]
    # Yaw - camYaw: -20, 140, -125
    assert truth[NAMES[0]].orientation.tolist() == [-20, 140, 235]
    assert truth[NAMES[1]].kid.tolist() == [True, False]
    assert truth[EMPTY].vertices().shape == (0, 10475, 3)


def test_frames_of_two_splits_are_refused(toy, tmp_path):
    """Persons of the other split would be missed."""
    for name in ('train_SMPLX/train_0_SMPLX', 'validation_SMPLX/validation_0'):
        path = tmp_path / f'{name}_withjv.pkl'
        path.parent.mkdir()
        shutil.copy(toy.folder / 'validation_0_SMPLX_withjv.pkl', path)
    with pytest.raises(ValueError, match='frames of train and validation;'):
        AGORAGroundTruth(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'gt_verts': None}, r"row|lacks the columns \['gt_verts'\]"),
        ({'gt_joints_2d': [np.zeros((45, 2))]}, r'2d: .* \(45, 2\)'),
        ({'gt_joints_3d': [np.full((127, 3), np.nan)]}, 'not finite'),
        ({'gt_joints_3d': [np.full((127, 3), 1e200)]}, 'not finite'),
        ({'gt_verts': []}, 'gt_verts: has 0 persons, isValid 1'),
        ({'gt_verts': 3.0}, 'row 0, gt_verts: must be a list with an array'),
        ({'gt_verts': [None]}, 'row 0, gt_verts: .*'),
        ({'kid': []}, 'row 0, kid: has 0 persons, isValid 1'),
        ({'occlusion': [5.0, 5.0]}, 'occlusion: has 2 persons, isValid 1'),
        ({'occlusion': ['x']}, 'occlusion: must be a list of numbers'),
        ({'isValid': [np.nan]}, 'isValid: must be True or False'),
        ({'isValid': 3}, 'isValid: must be a list'),
        ({'Yaw': [1.0, 2.0]}, 'Yaw: has 2 persons'),
        ({'imgPath': 7}, 'imgPath: 7 is not a path'),
        (
            {'gt_joints_2d': [np.full((127, 2), 1150.0)]},
            'must match gt_joints_3d in images of 3840 x 2160 or 1280 x 720',
        ),
    ],
)
def test_bad_frames(tmp_path, toy, change, message):
    cells = {k: [v] for k, v in toy._cells(OTHER).items()}
    for key, value in change.items():
        cells[key] = [value]
        if value is None:
            del cells[key]
    dump_dataframe(tmp_path / 'validation_0_SMPLX_withjv.pkl', cells)
    with pytest.raises(ValueError, match=message):
        AGORAGroundTruth(tmp_path)


def test_nothing_there(tmp_path, toy, free_body_dir):
    with pytest.raises(FileNotFoundError, match=r'_withjv\.pkl'):
        AGORAGroundTruth(tmp_path)
    with pytest.raises(FileNotFoundError):
        AGORAGroundTruth(tmp_path / 'no.npz')
    np.savez(tmp_path / 'other.npz', paths=np.zeros(3))
    with pytest.raises(ValueError, match="lacks .*'joints2d'"):
        AGORAGroundTruth(tmp_path / 'other.npz')
    cells = {k: [v] for k, v in toy._cells(OTHER).items()}
    dump_dataframe(tmp_path / 'validation_0_withjv.pkl', cells)
    with pytest.raises(ValueError, match='bfh or smplx in its path'):
        AGORAGroundTruth(tmp_path)
    with pytest.raises(MissingBodyModelError, match='body_verts_smplx.npy'):
        load_part_vertices(str(free_body_dir))
    np.save(tmp_path / 'body.npy', np.arange(7))
    with pytest.raises(ValueError, match='4010 distinct vertex ids'):
        load_part_vertices(str(free_body_dir), tmp_path / 'body.npy')
    np.save(tmp_path / 'body.npy', np.arange(4010))
    ids = load_part_vertices(str(free_body_dir), tmp_path / 'body.npy')
    assert {k: len(v) for k, v in ids.items()} == {
        'body': 4010,
        'lhand': 778,
        'rhand': 778,
        'face': 5023,
    }


@pytest.mark.parametrize(
    'path',
    [
        'a/b/ag_x_00001.png',
        r'c:\b\ag_x_00001_1280x720.png',
        'ag_x_00001.jpg',
    ],
)
def test_image_name(path):
    assert image_name(path) == 'ag_x_00001'


def test_other_shapes_of_images_are_refused(evaluate, toy):
    with pytest.raises(ValueError, match='got 640 x 480'):
        evaluate([toy.sample(NAMES[0], size=(480, 640))])
