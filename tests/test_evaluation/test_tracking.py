# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MOTA, IDF1 and HOTA of tracks, worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from script_loader import load_script

from aios.evaluation.tracking import (
    Track,
    TrackFileError,
    evaluate_tracks,
    read_tracks,
)
from aios.export import write_mot
from aios.results import FrameResult, complete_instances

BOX, FAR = (10, 10, 20, 40), (200, 10, 20, 40)  # xywh


def frames_of(*frames) -> Track:
    """Of each frame a list of (id, box)."""
    track = Track()
    for number, rows in enumerate(frames, start=1):
        track.add(number, rows)
    return track


@pytest.fixture
def evaluate():
    pytest.importorskip('trackeval')

    def run(true: Track, predicted: Track) -> dict[str, float]:
        return evaluate_tracks({'a': true}, {'a': predicted})

    return run


def test_perfect(evaluate):
    true = frames_of([(7, BOX), (9, FAR)], [(7, BOX)], [])
    ours = frames_of([(1, FAR), (0, BOX)], [(0, BOX)], [])
    numbers = evaluate(true, ours)
    for name in ('HOTA', 'DetA', 'AssA', 'LocA', 'MOTA', 'MOTP', 'IDF1'):
        assert numbers[name] == pytest.approx(1)
    assert numbers['frames'] == numbers['boxes'] == 3
    assert [numbers[n] for n in ('IDSW', 'FP', 'FN')] == [0, 0, 0]


def test_a_change_of_identity(evaluate):
    """One person in four frames, ids 1 1 2 2.

    MOTA = 1 - (FN 0 + FP 0 + IDSW 1) / 4 = 0.75.  Identity: the person is
    given one of the ids, IDTP = 2, IDFP = IDFN = 2, IDF1 = 2·2/(2·2+2+2) =
    0.5.  HOTA: all is found, DetA = 1; of each found box the id and the
    person share 2 of (4 + 2 - 2) = 4 boxes, AssA = 0.5, HOTA = √(1·0.5).
    """
    true = frames_of(*[[(3, BOX)]] * 4)
    ours = frames_of(*[[(1, BOX)]] * 2, *[[(2, BOX)]] * 2)
    numbers = evaluate(true, ours)
    assert numbers['MOTA'] == pytest.approx(0.75)
    assert numbers['IDSW'] == 1
    assert numbers['IDF1'] == pytest.approx(0.5)
    assert numbers['DetA'] == pytest.approx(1)
    assert numbers['AssA'] == pytest.approx(0.5)
    assert numbers['HOTA'] == pytest.approx(0.5**0.5)


def test_missed_and_invented(evaluate):
    """Four boxes, of which one is missed; two are invented.

    MOTA = 1 - (1 + 2 + 0) / 4 = 0.25.  IDTP 3, IDFN 1, IDFP 2: IDF1 =
    6 / (6 + 1 + 2) = 2/3.  DetA = 3 / (3 + 1 + 2) = 0.5.
    """
    true = frames_of(*[[(3, BOX)]] * 4)
    ours = frames_of(
        [(1, BOX), (2, FAR)], [(1, BOX)], [], [(1, BOX), (2, FAR)]
    )
    numbers = evaluate(true, ours)
    assert numbers['MOTA'] == pytest.approx(0.25)
    assert numbers['IDF1'] == pytest.approx(2 / 3)
    assert numbers['DetA'] == pytest.approx(0.5)
    assert [numbers[n] for n in ('FN', 'FP')] == [1, 2]


def test_sequences_are_counted_together(evaluate):
    """Ids of different sequences are different persons; b is not tracked."""
    pytest.importorskip('trackeval')
    true = {k: frames_of([(1, BOX)], [(1, BOX)]) for k in 'ab'}
    numbers = evaluate_tracks(true, {'a': true['a']})
    assert numbers['sequences'] == 2
    assert numbers['MOTA'] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="'c' has no ground truth"):
        evaluate_tracks(true, {'c': Track()})
    with pytest.raises(ValueError, match='there is no ground truth'):
        evaluate_tracks({}, {})


def posetrack(path: Path, persons, ignored=()) -> Path:
    """A file as PoseTrack 2018 has it: three frames, the last unlabeled."""
    images = [
        {
            'id': 10003420000 + i,
            'frame_id': 10003420000 + i,
            'vid_id': '000342',
            'file_name': f'images/val/000342_mpii_test/{i:06d}.jpg',
            'is_labeled': i < 2,
            'ignore_regions_x': [[x for x, _ in region] for region in ignored],
            'ignore_regions_y': [[y for _, y in region] for region in ignored],
        }
        for i in (2, 0, 1)  # in any order
    ]
    annotations = [
        {
            'id': number,
            'image_id': 10003420000 + frame,
            'track_id': person,
            'category_id': 1,
            'bbox': list(box),
            'bbox_head': [0, 0, 1, 1],
            'keypoints': [0] * 51,
        }
        for number, (frame, person, box) in enumerate(persons)
    ]
    content = {'images': images, 'annotations': annotations, 'categories': []}
    path.write_text(json.dumps(content))
    return path


def test_posetrack_and_mot(tmp_path, capsys):
    """What we write is compared with what PoseTrack has."""
    truth = posetrack(
        tmp_path / 'truth.json', [(0, 4, BOX), (1, 4, BOX), (2, 4, FAR)]
    )
    frames = []
    for number in range(3):
        x, y, w, h = BOX
        persons = complete_instances(
            bboxes=np.array([[x, y, x + w, y + h]], np.float32),
            person_id=np.array([5]),
        )
        K = np.array([[300.0, 0, 8], [0, 300, 8], [0, 0, 1]])
        frames.append(
            FrameResult(f'{number:06d}', number, 0.0, K, (320, 240), persons)
        )
    ours = write_mot(tmp_path / 'ours.txt', frames)
    assert ours.read_text().splitlines()[1] == '2,6,10,10,20,40,1,-1,-1,-1'
    with pytest.raises(FileExistsError):
        write_mot(ours, frames)
    track = read_tracks(ours)
    assert track.ids[3].tolist() == [6]
    assert track.boxes[1].tolist() == [[10, 10, 30, 50]]

    pytest.importorskip('trackeval')
    command = load_script('tools/analysis_tools/eval_tracking.py').main
    out = tmp_path / 'numbers.json'
    numbers = command([str(truth), str(ours), '--out', str(out)])
    assert numbers['frames'] == 2  # the third has no labels
    assert numbers['MOTA'] == numbers['HOTA'] == pytest.approx(1)
    assert json.loads(out.read_text()) == numbers
    assert 'IDF1' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='numbers.json'):
        command([str(truth), str(ours), '--out', str(out)])


def test_folders(tmp_path, capsys):
    pytest.importorskip('trackeval')
    command = load_script('tools/analysis_tools/eval_tracking.py').main
    truth, ours = tmp_path / 'truth', tmp_path / 'ours'
    truth.mkdir()
    ours.mkdir()
    for name in ('a', 'b'):
        (truth / f'{name}.txt').write_text('1,1,10,10,20,40,1,1,1\n')
    (ours / 'a.txt').write_text('1,8,10,10,20,40,0,-1,-1,-1\n')
    numbers = command([str(truth), str(ours)])
    assert numbers['MOTA'] == pytest.approx(0.5)
    with pytest.raises(SystemExit, match='both paths must be files'):
        command([str(truth), str(ours / 'a.txt')])
    with pytest.raises(SystemExit, match='lacking does not exist'):
        command([str(truth), str(tmp_path / 'lacking')])
    (tmp_path / 'empty').mkdir()
    for paths in ((truth, tmp_path / 'empty'), (tmp_path / 'empty', ours)):
        with pytest.raises(SystemExit, match='empty: contains no .json or'):
            command([str(path) for path in paths])
    many = '\n'.join(f'{n},1,10,10,20,40,1' for n in range(1, 12346))
    (ours / 'b.txt').write_text(many)
    command([str(truth), str(ours)])
    assert ['FP', '12344'] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]
    posetrack(ours / 'a.json', [])
    with pytest.raises(SystemExit, match=r"\.json and \.txt of 'a'"):
        command([str(truth), str(ours)])


def test_ignored_regions(tmp_path, evaluate):
    """Nobody is annotated in a region around FAR: who is there is excused."""
    region = [(190, 0), (230, 0), (230, 60), (190, 60)]
    persons = [(0, 4, BOX), (1, 4, BOX)]
    ours = frames_of(*[[(1, BOX), (2, FAR)]] * 3)
    for ignored, wrong in (((), 2), ((region,), 0)):
        path = tmp_path / 'truth.json'
        true = read_tracks(posetrack(path, persons, ignored))
        assert evaluate(true, ours)['FP'] == wrong


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.txt', '1,1,0,0,5,5\n1,2,0,0,5\n', "line 2 .*'1,2,0,0,5'"),
        ('a.txt', '1,x,0,0,5,5\n', 'line 1 must be numbers: frame, id'),
        ('a.txt', '1,1.5,0,0,5,5\n', r'line 1 .* id \(integers\).*1\.5'),
        ('a.txt', 'inf,1,0,0,5,5\n', 'line 1 must be numbers: frame, id'),
        ('a.txt', '1,1,0,0,5,5,1\n1,1,0,0,5,5,1', 'frame 1: id 1 occurs'),
        ('a.txt', '1,1,0,0,5,nan,1', 'frame 1: box is not finite'),
        ('a.json', '{"images": []}', "KeyError: 'annotations'"),
        (
            'a.json',
            '{"images": [], "annotations": [{}, {"bbox": [1, 2, 3, 4],'
            '"track_id": 1, "image_id": 9}]}',
            r'annotations\[1\] needs .* image_id of an image .*9',
        ),
        ('a.json', '[', 'JSONDecodeError'),
        pytest.param('a.json', '[' * 100_000, 'RecursionError', id='deep'),
        ('a.csv', '', r"one of \('.json', '.txt'\)"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TrackFileError, match=message):
        read_tracks(path)


def test_lines_that_do_not_count(tmp_path):
    path = tmp_path / 'gt.txt'
    text = '3,1,0,0,5,5,0,1,1\n3,2,0,0,5,5,1,1,1\n\n'
    path.write_text(text, 'utf-8-sig')  # as some editors write it
    assert read_tracks(path).ids[3].tolist() == [2]
    # Persons whom --fill-gaps inserts have a score of 0.
    assert read_tracks(path, predicted=True).ids[3].tolist() == [1, 2]


def test_inventions_in_frames_without_persons(tmp_path, evaluate):
    """A text file has no lines for those."""
    path = tmp_path / 'gt.txt'
    path.write_text('1,1,0,0,5,5,1,1,1\n')
    true = read_tracks(path)
    path.write_text(f'{path.read_text()}2,1,0,0,5,5,1,-1,-1,-1\n')
    numbers = evaluate(true, read_tracks(path))
    assert [numbers[n] for n in ('FP', 'MOTA', 'frames')] == [1, 0, 2]


def test_without_trackeval(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'trackeval', None)
    with pytest.raises(ImportError, match='pip install trackeval'):
        evaluate_tracks({'a': frames_of([(1, BOX)])}, {})
