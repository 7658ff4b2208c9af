# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``tools/eval_agora.py``: predictions from files."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch
from toy_agora import NAMES, load_tool
from toy_persons import numbers_of

from aios.evaluation.metrics import (
    AGORAMetric,
    AGORASubmission,
    DumpWholeBodyResults,
)
from aios.utils.portable_pickle import dump_pickle
from aios.utils.safe_io import load_pickle


@pytest.fixture
def samples(toy):
    """Wrong bodies, a duplicate of score 0.5, and a missed person."""
    samples = toy.samples()
    samples[0] = toy.sample(NAMES[0], [0, 2, 2])
    samples[1] = toy.sample(NAMES[1], [0])
    persons = samples[0]['pred_instances']
    persons.scores = torch.tensor([0.9, 0.6, 0.5])
    persons.smplx_betas += 0.4
    return samples


@pytest.fixture
def submission(samples, tmp_path):
    numbers_of(AGORASubmission(str(tmp_path / 'submission')), samples)
    return tmp_path / 'submission'


@pytest.fixture
def path(samples, tmp_path):
    """A file of the predictions, as of ``tools/test.py --out``."""
    path = str(tmp_path / 'dump.pkl')
    numbers_of(DumpWholeBodyResults(path), samples)
    return path


@pytest.fixture
def run(toy, free_body_dir):
    tool = load_tool('eval_agora')

    def call(predictions, *options, gt=toy.folder):
        return tool.main(
            [
                *(str(predictions), '--gt', str(gt)),
                *('--body-models', str(free_body_dir)),
                *('--body-vertices', 'complement', *map(str, options)),
            ]
        )

    return call


def test_says_what_the_metric_says(
    run, samples, submission, toy, free_body_dir, capsys
):
    for sample in samples:  # the submission has parameters
        del sample['pred_instances'].vertices
    metric = AGORAMetric(str(toy.folder), str(free_body_dir), 'complement')
    expected = numbers_of(metric, samples)
    assert expected['false-positives'] == expected['missed'] == 1
    assert expected['body-MVE'] > 1
    assert run(submission / 'predictions.zip') == expected
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ['missed', '1'] in lines
    assert [
        'body',
        *(
            f'{expected[f"body-{k}"]:.1f}'
            for k in ('MVE', 'MPJPE', 'NMVE', 'NMJE')
        ),
    ] in lines
    assert run(submission) == expected
    assert run(submission / 'predictions') == expected


def test_dump(run, path, submission, tmp_path):
    assert run(path) == run(submission)
    assert run(path, '--score-thr', 0.55)['false-positives'] == 0
    records = load_pickle(path)
    records[0]['pred_instances']['smplx_betas'][2] = np.nan
    dump_pickle(tmp_path / 'nan.pkl', records)
    broken = run(tmp_path / 'nan.pkl')
    assert broken['predictions-not-finite'] == 1
    assert broken['false-positives'] == 0
    dump_pickle(tmp_path / 'bad.pkl', load_pickle(path)[0])
    with pytest.raises(SystemExit, match='error: .*DumpWholeBodyResults'):
        run(tmp_path / 'bad.pkl')
    records = load_pickle(path)
    del records[1]['ori_shape']
    dump_pickle(tmp_path / 'lacks.pkl', records)
    with pytest.raises(SystemExit, match="image 1 lacks 'ori_shape'"):
        run(tmp_path / 'lacks.pkl')


def test_sweep(run, submission, tmp_path):
    out = tmp_path / 'out'
    metrics = run(submission, '--sweep', '--out', out)
    results = json.loads((out / 'results.json').read_text())
    assert results['metrics'] == metrics
    assert results['protocol'] == 'official'
    assert sum(b['persons'] for b in results['bins']['occlusion']) == 4
    # Of NAMES[0] -20 and 235 degrees, of NAMES[1] -20 and 140.
    bins = results['bins']['orientation']
    assert [b['persons'] for b in bins] == [2, 0, 0, 1, 0, 1, 0, 0]
    assert sum(b['matched'] for b in bins) == 3
    # Persons stand 1.5 m apart, 6 m away, f = 3700: 925 of 1920 pixels.
    bins = results['bins']['x']
    assert [b['persons'] for b in bins] == [1, 0, 0, 0, 3, *[0] * 5]
    with open(out / 'sweep.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [float(row['threshold']) for row in rows] == pytest.approx(
        np.arange(0.05, 0.96, 0.05)
    )
    by_threshold = {row['threshold']: row for row in rows}
    assert by_threshold['0.5']['false-positives'] == '1'
    assert by_threshold['0.55']['false-positives'] == '0'
    assert by_threshold['0.65']['missed'] == '2'
    assert by_threshold['0.95']['matched'] == '0'
    assert by_threshold['0.95']['body-MVE'] == ''
    image = cv2.imread(str(out / 'sweep.png'))
    assert image.shape == (480, 1200, 3)
    with pytest.raises(SystemExit, match='results.json exists'):
        run(submission, '--out', out)
    run(submission, '--out', out, '--sweep', 0.3, '--overwrite')
    assert len((out / 'sweep.csv').read_text().splitlines()) == 2
    run(submission, '--out', out, '--overwrite')
    assert [file.name for file in out.iterdir()] == ['results.json']


def test_scores_among_the_predictions(run, submission):
    """As a user may extract and copy them: all in one folder."""
    expected = run(submission, '--score-thr', 0.55)
    folder = (submission / 'predictions').rename(submission.parent / 'flat')
    (submission / 'scores.json').rename(folder / 'scores.json')
    assert run(folder, '--score-thr', 0.55) == expected


def test_thresholds_need_scores(run, submission, tmp_path, capsys):
    (submission / 'scores.json').unlink()
    for options in (['--sweep'], ['--score-thr', 0.5]):
        with pytest.raises(SystemExit, match='there is no scores.json'):
            run(submission, *options)
    assert run(submission)['missed'] == 1


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('NaN', 'personId_0.pkl must be a finite number, got nan'),
        ('-Infinity', 'personId_0.pkl must be a finite number, got -inf'),
        ('1e999', 'personId_0.pkl must be a finite number, got inf'),
        ('null', 'personId_0.pkl must be a finite number, got None'),
        ('"0.5"', "personId_0.pkl must be a finite number, got '0.5'"),
        ('true', 'personId_0.pkl must be a finite number, got True'),
        (None, 'no score of .*personId_0.pkl; it is from another'),
    ],
)
def test_scores_are_numbers_of_all_files(run, submission, value, message):
    path = submission / 'scores.json'
    scores = json.loads(path.read_text())
    name = f'{NAMES[0]}_personId_0.pkl'
    del scores[name]
    text = json.dumps(scores)
    if value is not None:
        text = f'{{"{name}": {value}, {text[1:]}'
    path.write_text(text)
    with pytest.raises(SystemExit, match=f'scores.json: .*{message}'):
        run(submission)


def test_scores_are_an_object(run, submission):
    for text in ('[1]', '{'):
        (submission / 'scores.json').write_text(text)
        with pytest.raises(SystemExit, match=r'scores.json: damaged'):
            run(submission)


def test_more_keypoints_enlarge_the_box(run, submission):
    """Allowed by the server: the box that decides is larger."""
    before = run(submission)
    for file in (submission / 'predictions').iterdir():
        content = load_pickle(file)
        far = np.array([[-90000.0, -90000.0]], np.float32)
        content['joints'] = np.concatenate((content['joints'], far))
        dump_pickle(file, content, overwrite=True)
    after = run(submission)
    assert before['matched'] == 3
    assert after['matched'] == 0


def test_errors(run, submission, tmp_path, toy):
    with pytest.raises(SystemExit, match='error: .*nothing.zip'):
        run(toy.folder.parent / 'nothing.zip')
    with pytest.raises(SystemExit, match=r'error: .*_withjv'):
        run(submission, gt=tmp_path)
    with pytest.raises(SystemExit, match='a single data frame; allowed are'):
        run(submission, gt=next(toy.folder.glob('**/*.pkl')))
    broken = tmp_path / 'broken'
    shutil.copytree(submission / 'predictions', broken)
    content = load_pickle(broken / f'{NAMES[0]}_personId_0.pkl')
    del content['params']['betas']
    dump_pickle(broken / f'{NAMES[0]}_personId_0.pkl', content, overwrite=True)
    with pytest.raises(SystemExit, match='personId_0.pkl: betas is missing'):
        run(broken)
    for file in list(broken.iterdir()):
        file.unlink()
    content['params']['betas'] = np.zeros((1, 10))
    dump_pickle(broken / 'other_personId_0.pkl', content)
    with pytest.raises(SystemExit, match='such as other.* is among the 3'):
        run(broken)


def test_convert(toy, tmp_path, run, submission, capsys):
    tool = load_tool('dataset_converters/agora_ground_truth')
    out = tmp_path / 'gt.npz'
    tool.main([str(toy.folder), str(out)])
    assert '4 images' in capsys.readouterr().out
    assert run(submission, gt=out) == run(submission)
    with pytest.raises(SystemExit, match='error: .*exists'):
        tool.main([str(toy.folder), str(out)])
    with pytest.raises(SystemExit, match='must be .npz'):
        tool.main([str(toy.folder), 'gt.pkl'])
    with pytest.raises(SystemExit, match='no data frame'):
        tool.main([str(submission), str(tmp_path / 'new.npz')])
    assert not (tmp_path / 'new.npz').exists()


@pytest.mark.parametrize('option', ['--score-thr', '--sweep'])
@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_thresholds_are_numbers(run, submission, option, value, capsys):
    with pytest.raises(SystemExit):
        run(submission, option, value)
    assert f"'{value}' is not 0 to 1" in capsys.readouterr().err


def zipped(path, files):
    """An archive of content by name."""
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_files_elsewhere_are_ignored_and_counted(
    run, submission, tmp_path, capsys
):
    expected = run(submission)
    files = {
        f'predictions/{p.name}': p.read_bytes()
        for p in (submission / 'predictions').iterdir()
    }
    one = next(iter(files.values()))
    other = f'{NAMES[1]}_personId_9.pkl'
    more = {
        f'predictions/sub/{other}': one,
        f'__MACOSX/predictions/._{other}': b'Mac OS X',
        f'predictions/._{other}': b'Mac OS X',
        other: one,
    }
    capsys.readouterr()
    (submission / 'scores.json').unlink()
    assert run(zipped(submission / 'a.zip', files | more)) == expected
    assert 'ignored 4 .pkl files' in capsys.readouterr().err
    sub = submission / 'predictions/sub'
    sub.mkdir()
    (sub / other).write_bytes(one)
    assert run(submission) == expected
    assert 'ignored 1 .pkl files' in capsys.readouterr().err
    flat = zipped(tmp_path / 'flat.zip', {other: one})
    with pytest.raises(SystemExit, match='must be in the folder predictions'):
        run(flat)


def test_numbers_are_names(run, submission):
    """``_0`` and ``_00`` are two predictions, as for the server."""
    before = run(submission)
    folder = submission / 'predictions'
    (submission / 'scores.json').unlink()
    for name in (f'{NAMES[1]}_personId_00.pkl', f'{NAMES[1]}_personId_7.pkl'):
        shutil.copy(folder / f'{NAMES[1]}_personId_0.pkl', folder / name)
    after = run(submission)
    assert after['matched'] == before['matched']
    assert after['false-positives'] == before['false-positives'] + 2


def test_samples_of_the_official_tool(run, toy, tmp_path):
    """144 joints, a third column, a leading axis of one, the key ``age``."""
    folder = tmp_path / 'predictions'
    for name, row in ((NAMES[0], 0), (NAMES[0], 2), (NAMES[1], 1)):
        crowd = toy.crowds[name]
        joints = np.concatenate(
            (crowd.points, np.ones((3, 144, 1))[: len(crowd.points)]), -1
        )
        content = {
            'age': 'adult',
            'joints': joints[row] if row else joints[row, :24],
            'allSmplJoints3d': crowd.joints[row, : 144 if row else 127],
            'verts': crowd.vertices[row][None] if row else crowd.vertices[row],
        }
        dump_pickle(folder / f'{name}_personId_{row}.pkl', content)
    result = run(folder)
    assert result['matched'] == 3
    assert result['fullbody-MVE'] == result['fullbody-MPJPE'] == 0


def test_bad_numbers_in_files(run, submission):
    file = submission / f'predictions/{NAMES[0]}_personId_0.pkl'
    good = load_pickle(file)
    far = np.concatenate((good['joints'], np.full((3, 2), np.nan, 'f4')))
    mesh = {
        'joints': good['joints'],
        'verts': np.full((10475, 3), 1e200),
        'allSmplJoints3d': np.zeros((127, 3)),
    }
    huge = dict(good['params'], global_orient=np.full((1, 3), 3e38, 'f4'))
    for content, message in (
        (dict(good, joints=far), 'personId_0.pkl: joints is not finite'),
        (mesh, 'personId_0.pkl: verts is not finite'),
        (dict(good, params=huge), 'personId_0.pkl: the posed body is not'),
    ):
        dump_pickle(file, content, overwrite=True)
        with pytest.raises(SystemExit, match=message):
            run(submission)


def test_members_that_cannot_be_read(run, submission, tmp_path):
    path = submission / 'predictions.zip'
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[1]
        place = info.header_offset
    data = path.read_bytes()
    # The last mention of the name is in the central directory.
    entry = data.rindex(info.filename.encode()) - 46
    for offset, value, message in (
        (8, 1, 'encrypted'),  # flag bits
        (10, 97, 'cannot be read'),  # compression method
    ):
        broken = bytearray(data)
        broken[entry + offset] = value
        broken[place + offset - 2] = value
        (tmp_path / 'x.zip').write_bytes(broken)
        with pytest.raises(SystemExit, match=f'personId_0.pkl .*{message}'):
            run(tmp_path / 'x.zip')


def test_dumps_are_whole(run, path, tmp_path):
    records = load_pickle(path)
    dump_pickle(tmp_path / 'twice.pkl', [*records, records[0]])
    with pytest.raises(SystemExit, match=f'duplicate image {NAMES[0]}'):
        run(tmp_path / 'twice.pkl')
    for name, axis in (('joints2d', 0), ('smplx_betas', 0), ('bboxes', 1)):
        records = load_pickle(path)
        persons = records[1]['pred_instances']
        persons[name] = np.repeat(persons[name], 2, axis)
        dump_pickle(tmp_path / 'uneven.pkl', records, overwrite=True)
        with pytest.raises(SystemExit, match=f'image 1: {name} has shape'):
            run(tmp_path / 'uneven.pkl')
    records = load_pickle(path)
    persons = records[0]['pred_instances']
    persons['smplx_betas'] = persons['smplx_betas'].astype(np.float64)
    persons['smplx_betas'][2] = 1e200
    dump_pickle(tmp_path / 'huge.pkl', records)
    assert run(tmp_path / 'huge.pkl')['predictions-not-finite'] == 1
