# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors by joint, worst cases, tables."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from PIL import Image
from toy_agora import load_tool

from aios.datasets import HumanData, HumanDataset
from aios.evaluation.analysis import compare_joints
from aios.structures import SMPLX_137, joint_mapping
from aios.utils.portable_pickle import dump_pickle

FROM_144 = joint_mapping('smplx_144', 'smplx_137')
THUMB = SMPLX_137.index('left_thumb')
CONFIG = """
test_dataloader = dict(dataset=dict(
    type='HumanDataset', dataset_name='toy', ann_file='humandata.npz',
    data_root='{root}', test_mode=True, pipeline=[],
))
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory, free_body_dir) -> Path:
    """Three images with two persons each, and a config."""
    root = tmp_path_factory.mktemp('persons') / 'set'
    load_tool('make_synthetic_dataset').main(
        [
            *(str(root), '--images', '3', '--seed', '4', '--size', '96x64'),
            *('--persons', '2', '--genders', 'neutral'),
            *('--body', str(free_body_dir)),
        ]
    )
    # Who can hardly be seen is not among the labels.
    data = HumanData.load(root / 'humandata.npz')
    assert [len(rows) for rows in data.images()] == [2, 2, 2]
    (root / 'config.py').write_text(CONFIG.format(root=root))
    return root


@pytest.fixture
def dataset(root):
    return HumanDataset(
        'humandata.npz', str(root), dataset_name='toy', test_mode=True
    )


@pytest.fixture
def records(dataset):
    """Perfect predictions."""
    records = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        true = info['instances_arrays']
        count = len(true['bboxes'])
        joints3d = np.zeros((count, 144, 3), np.float32)
        joints3d[:, FROM_144] = true['keypoints3d']
        joints2d = np.zeros((count, 144, 2), np.float32)
        joints2d[:, FROM_144] = true['keypoints']
        persons = {
            'scores': np.linspace(0.9, 0.8, count),
            'bboxes': true['bboxes'].copy(),
            'joints3d': joints3d,
            'joints2d': joints2d,
        }
        record = {k: info[k] for k in ('img_id', 'img_path', 'dataset_name')}
        records.append({**record, 'pred_instances': persons})
    return records


@pytest.fixture
def dump(records, tmp_path):
    path = tmp_path / 'dump.pkl'

    def write():
        dump_pickle(path, records, overwrite=True)
        return str(path)

    return write


def test_concatenated_datasets_of_one_name(dataset, records, root, tmp_path):
    """Both number from 0; images are told apart by their paths."""
    copy = tmp_path / 'copy'
    shutil.copytree(root, copy)
    other = HumanDataset(
        'humandata.npz', str(copy), dataset_name='toy', test_mode=True
    )
    more = [
        {**r, 'img_path': r['img_path'].replace(str(root), str(copy))}
        for r in records
    ]
    both = ConcatDataset([dataset, other])
    errors = compare_joints(both, [*records, *more])
    assert errors.images.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    moved = [
        {**r, 'img_path': f'/elsewhere/{Path(r["img_path"]).name}'}
        for r in records
    ]
    assert len(compare_joints(dataset, moved).images) == 6
    with pytest.raises(ValueError, match='is .* in the dataset and /else'):
        compare_joints(dataset, [*moved, *more])


def test_one_joint(dataset, records):
    """A finger tip by 20 mm: 1 mm of 20 joints of the hand."""
    persons = records[1]['pred_instances']
    tip = FROM_144[THUMB]
    persons['joints3d'][1, tip] += (0.02, 0, 0)
    errors = compare_joints(dataset, records)
    row = int(np.flatnonzero(errors.images == 1)[1])
    assert errors.errors[row, THUMB] == pytest.approx(20, abs=1e-3)
    assert errors.errors.sum() == pytest.approx(20, abs=0.1)
    hands = errors.of_persons('lhand')
    assert hands[row] == pytest.approx(
        20 / errors.known[row, SMPLX_137.groups['left_hand']].sum(), abs=1e-3
    )
    table = {r['joint']: r for r in errors.of_joints()}
    assert table['left_thumb']['mean'] == pytest.approx(
        20 / table['left_thumb']['persons'], abs=1e-3
    )
    assert table['nose']['p90'] < 1e-3
    parts = {r['part']: r for r in errors.of_parts()}
    assert list(parts) == ['all', 'body', 'lhand', 'rhand', 'face']
    assert parts['rhand']['mean'] < 1e-3 < parts['lhand']['mean']


def test_alignment(dataset, records):
    """Moving a wrist moves the hand's root; a similarity undoes scale."""
    for record in records:
        record['pred_instances']['joints3d'] *= 1.3
    scaled = compare_joints(dataset, records, align='similarity')
    assert scaled.errors.max() < 1e-3
    errors = compare_joints(dataset, records)
    assert errors.of_persons('body').min() > 10
    with pytest.raises(
        ValueError, match='align must be one of .*root.*similarity'
    ):
        compare_joints(dataset, records, align='none')


def test_missed_and_wrong(dataset, records, monkeypatch):
    persons = records[2]['pred_instances']
    persons['bboxes'][0] += 1000
    errors = compare_joints(dataset, records)
    assert errors.missed.tolist() == [[2, 0]]
    assert errors.wrong == 1
    fewer = compare_joints(dataset, records, score_thr=0.85)
    assert len(fewer.missed) == 4
    assert fewer.wrong == 1
    info_of, crowd = dataset.get_data_info, [[900.0, 900, 1200, 1200]]
    monkeypatch.setattr(
        dataset,
        'get_data_info',
        lambda i: {**info_of(i), 'ignored_bboxes': np.array(crowd)},
    )
    assert compare_joints(dataset, records).wrong == 0


def test_images_smaller_than_annotated(dataset, records):
    for record in records:
        record['ori_shape'] = (32, 48)  # annotated: 64 x 96
        record['pred_instances']['bboxes'] /= 2
    assert not len(compare_joints(dataset, records).missed)


def test_broken_predictions_are_left_out(dataset, records):
    records[0]['pred_instances']['joints3d'][0, 5] = np.nan
    records[1]['pred_instances']['bboxes'][1] = np.inf
    errors = compare_joints(dataset, records)
    assert errors.missed.tolist() == [[0, 0], [1, 1]]
    assert errors.wrong == 0
    assert errors.errors.max() < 1e-3


def test_other_data_set(dataset, records):
    with pytest.raises(ValueError, match='image 2 of toy'):
        compare_joints(dataset, records[:2])
    records[0]['img_path'] = 'other.jpg'
    with pytest.raises(ValueError, match=r'other\.jpg in the predictions'):
        compare_joints(dataset, records)


def test_error_by_joint(root, records, dump, tmp_path, capsys):
    tool = load_tool('analysis_tools/error_by_joint')
    for record in records:
        record['pred_instances']['joints3d'][:, FROM_144[THUMB]] += 0.01
    arguments = [str(root / 'config.py'), dump(), '--out', str(tmp_path / 'o')]
    tool.main(arguments)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['lhand', '6'] in [line[:2] for line in lines]
    content = json.loads((tmp_path / 'o/errors.json').read_text())
    assert content['matched'] == 6
    assert content['parts'][0]['part'] == 'all'
    with open(tmp_path / 'o/joints.csv', newline='') as file:
        rows = {row['joint']: row for row in csv.DictReader(file)}
    assert float(rows['left_thumb']['mean']) == pytest.approx(
        10 * 3**0.5, abs=0.1
    )
    assert cv2.imread(str(tmp_path / 'o/joints.png')).shape[1] == 1400
    with pytest.raises(SystemExit, match='errors.json exists'):
        tool.main(arguments)


def test_cases_of_turned_photographs(records, dataset, tmp_path):
    """Labels refer to the stored pixels, whatever EXIF says."""
    tool = load_tool('analysis_tools/worst_cases')
    info = dataset.get_data_info(0)
    path = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees
    with Image.open(info['img_path']) as image:
        image.convert('RGB').save(path, quality=95, exif=exif)
    case = {'image': 0, 'person': 0, 'prediction': 0}
    persons = records[0]['pred_instances']
    plain, turned = (
        tool.draw_case(case, {**info, 'img_path': str(p)}, persons)
        for p in (info['img_path'], path)
    )
    assert turned.shape == plain.shape
    assert np.abs(turned.astype(float) - plain).mean() < 5


def test_worst_cases(root, records, dump, tmp_path):
    tool = load_tool('analysis_tools/worst_cases')
    records[1]['pred_instances']['joints3d'][0, FROM_144[THUMB]] += 1
    records[2]['pred_instances']['joints3d'][1, FROM_144[THUMB]] += 0.5
    out = tmp_path / 'worst'
    arguments = [str(root / 'config.py'), dump(), '-n', '2']
    tool.main([*arguments, '--part', 'lhand', '--out', str(out)])
    persons = json.loads((out / 'worst.json').read_text())['persons']
    assert [(p['image'], p['person']) for p in persons] == [(1, 0), (2, 1)]
    assert persons[0]['error'] > persons[1]['error'] > 10
    assert cv2.imread(str(out / 'worst.jpg')).shape[0] > 320
    with pytest.raises(SystemExit, match='worst.json exists'):
        tool.main([*arguments, '--out', str(out)])
    with pytest.raises(SystemExit, match='error of .* 0 missed; 0 pred'):
        tool.main([*arguments, '--part', 'missed', '--out', str(tmp_path)])
    records[0]['pred_instances']['bboxes'][:] = 0
    dump()
    out = tmp_path / 'missed'
    tool.main([*arguments, '--part', 'missed', '--out', str(out)])
    persons = json.loads((out / 'worst.json').read_text())['persons']
    assert [(p['image'], p['person']) for p in persons] == [(0, 0), (0, 1)]


@pytest.mark.parametrize('name', ['error_by_joint', 'worst_cases'])
def test_errors_of_tools(name, root, records, dump, tmp_path):
    tool = load_tool(f'analysis_tools/{name}')
    config, out = str(root / 'config.py'), str(tmp_path / 'out')
    with pytest.raises(SystemExit, match='error: .*no.pkl'):
        tool.main([config, str(tmp_path / 'no.pkl'), '--out', out])
    with pytest.raises(SystemExit, match='has no val_dataloader'):
        tool.main([config, dump(), '--out', out, '--phase', 'val'])
    del records[1]['pred_instances']['bboxes']
    with pytest.raises(SystemExit, match="dump.pkl: image 1 lacks 'bboxes'"):
        tool.main([config, dump(), '--out', out])
    assert not Path(out).exists()


# -- tables --------------------------------------------------------------


@pytest.fixture
def metrics(tmp_path):
    a = tmp_path / 'a.json'
    a.write_text('{"agora/f1": 0.94, "agora/body-MVE": 57.61, "n": 3}')
    b = tmp_path / 'b.json'
    b.write_text('{"metrics": {"agora/f1": 0.9, "agora/body-MVE": 60.04}}')
    return str(a), f'ours_b={b}'


@pytest.fixture
def table(metrics, capsys):
    tool = load_tool('analysis_tools/results_table')

    def run(*options):
        tool.main([*metrics, *map(str, options)])
        return capsys.readouterr().out

    return run


def test_markdown(table):
    assert table('--metrics', 'agora/*', 'n') == (
        '| | agora/f1 | agora/body-MVE | n |\n'
        '|---|---:|---:|---:|\n'
        '| a | **0.94** | **57.6** | 3 |\n'
        '| ours_b | 0.90 | 60.0 |  |\n'
    )


def test_best_numbers(tmp_path, capsys):
    """Of shares the largest, of errors the smallest, of counts none."""
    for name, scale in (('a', 0.5), ('b', 1.0)):
        shares = ('x/F1', 'x/kid-f1', 'x/AP-body', 'MOTA', 'PCK', 'found')
        numbers = dict.fromkeys(shares, 0.8 * scale)
        numbers |= {'x/NMVE': 60 * scale, 'x/persons': 4 * scale}
        numbers |= {'IDSW': 8 * scale, 'PCK-joints': 4 * scale}
        (tmp_path / f'{name}.json').write_text(json.dumps(numbers))
    tool = load_tool('analysis_tools/results_table')
    tool.main([str(tmp_path / f'{name}.json') for name in 'ab'])
    assert capsys.readouterr().out.splitlines()[2:] == [
        f'| a |{" 0.40 |" * 6} **30.0** | 2 | **4.0** | 2 |',
        f'| b |{" **0.80** |" * 6} 60.0 | 4 | 8.0 | 4 |',
    ]


def test_latex(table):
    text = table('--format', 'latex', '--digits', '2', '--metrics', '*f1', 'n')
    assert r'\begin{tabular}{lrr}' in text
    assert r'a & \textbf{0.940} & 3 \\' in text
    assert r'ours\_b & 0.900 & -- \\' in text


def test_csv(table, tmp_path):
    rows = list(csv.DictReader(io.StringIO(table('--format', 'csv'))))
    assert rows[0]['agora/body-MVE'] == '57.61'
    assert rows[1]['n'] == ''
    out = tmp_path / 'table.csv'
    assert table('--out', out, '--metrics', 'n') == ''
    assert out.read_text() == 'name,n\na,3\nours_b,\n'
    with pytest.raises(SystemExit, match='exists'):
        table('--out', out)
    table('--out', out, '--overwrite')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[1]', 'must hold a dictionary of numbers'),
        ('{"a": "b"}', 'must hold a dictionary of numbers'),
        ('{"a": NaN}', 'a is nan'),
        ('{', 'not JSON'),
    ],
)
def test_bad_metrics(tmp_path, content, message):
    tool = load_tool('analysis_tools/results_table')
    (tmp_path / 'x.json').write_text(content)
    with pytest.raises(SystemExit, match=f'x.json: {message}'):
        tool.main([str(tmp_path / 'x.json')])


def test_bad_options(table, metrics, tmp_path):
    with pytest.raises(SystemExit, match=r"'\*PVE': matches no metric"):
        table('--metrics', '*PVE')
    with pytest.raises(SystemExit, match="a row is already named 'a'"):
        table(metrics[0])
    with pytest.raises(SystemExit, match='set --format'):
        table('--out', tmp_path / 'table.txt')
