# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import dataclasses
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aios.export import write_keypoints
from aios.results import SequenceResult
from aios.structures import get_joint_set


def written(persons: SequenceResult, folder: Path) -> dict:
    write_keypoints(persons, folder / 'persons.json')
    return json.loads((folder / 'persons.json').read_text())


def test_file_of_a_sequence(dancers: SequenceResult, tmp_path) -> None:
    document = written(dancers, tmp_path)
    assert document['info']['fps'] == 25.0
    images, persons = document['images'], document['annotations']
    assert len(images) == dancers.num_frames
    assert [p['image_id'] for p in persons] == dancers.frame_index.tolist()
    assert [p['track_id'] for p in persons] == dancers.person_id.tolist()
    assert images[4]['timestamp'] == pytest.approx(4 / 25)
    assert images[4]['K'] == dancers.K[4].tolist()
    with pytest.raises(FileExistsError, match=r'persons\.json'):
        written(dancers, tmp_path)


def test_one_frame_in_memory(dancers: SequenceResult, tmp_path) -> None:
    many = SequenceResult.from_frames(
        dataclasses.replace(dancers.frame(0), name=f'{number:06d}')
        for number in range(1000)
    )
    tracemalloc.start()
    try:
        write_keypoints(many, tmp_path / 'many.json')
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / 'many.json').stat().st_size > 4e6
    assert most < 1e6


def test_points_are_the_projected_joints(dancers, tmp_path) -> None:
    document = written(dancers, tmp_path)
    names = get_joint_set('smplx_144').names
    body = document['categories'][0]['keypoints']
    for row in (0, 2):
        person = document['annotations'][row]
        joints = dancers.joints2d[row]
        points = np.reshape(person['keypoints'], (17, 3))
        for name in ('left_shoulder', 'right_knee', 'nose'):
            point = points[body.index(name)]
            wanted = joints[names.index(name)]
            np.testing.assert_allclose(point[:2], wanted, atol=0.006)
            assert point[2] == 2
        hand = np.reshape(person['lefthand_kpts'], (21, 3))
        assert hand[0].tolist() == [0, 0, 0]  # no such joint in SMPL-X
        np.testing.assert_allclose(
            hand[8, :2], joints[names.index('left_index')], atol=0.006
        )
        assert len(person['face_kpts']) == 68 * 3
        assert len(person['foot_kpts']) == 6 * 3
        np.testing.assert_allclose(
            np.reshape(person['smplx_joints'], (144, 2)), joints, atol=0.006
        )


def test_key_points_of_the_network_come_first(persons, tmp_path) -> None:
    own = np.arange(5 * 34).reshape(5, 17, 2)
    document = written(dataclasses.replace(persons, keypoints=own), tmp_path)
    points = np.reshape(document['annotations'][3]['keypoints'], (17, 3))
    np.testing.assert_array_equal(points[:, :2], own[3])


def test_joints_behind_the_camera_are_not_seen(dancers, tmp_path) -> None:
    """Their pixels are mirrored; those of the network are not."""
    joints = dancers.joints3d.copy()
    joints[..., 2] -= np.median(joints[..., 2], axis=1, keepdims=True)
    near = dataclasses.replace(dancers, joints3d=joints)
    person = written(near, tmp_path)['annotations'][0]
    body = np.reshape(person['keypoints'], (17, 3))
    wrist = get_joint_set('coco').index('left_wrist')
    is_behind = (
        joints[0, get_joint_set('smplx_144').index('left_wrist'), 2] < 0
    )
    assert (body[wrist, 2] == 0) == is_behind
    hidden = body[:, 2] == 0
    assert 0 < hidden.sum() < 17
    assert not body[hidden].any()
    assert person['num_keypoints'] == (~hidden).sum()
    points = np.zeros((len(near), 17, 2))
    near = dataclasses.replace(near, keypoints=points)
    person = written(near, tmp_path / 'own')['annotations'][0]
    assert person['num_keypoints'] == 17


def test_boxes(persons: SequenceResult, tmp_path) -> None:
    person = written(persons, tmp_path)['annotations'][0]
    assert person['bbox'] == [14, 24, 100, 200]  # from 14, 24, 114, 224
    assert person['area'] == 20000
    assert person['score'] == 1


def test_coco_tools_read_it(persons: SequenceResult, tmp_path) -> None:
    write_keypoints(persons, tmp_path / 'p.json')
    coco = COCO(tmp_path / 'p.json')
    assert coco.getImgIds() == [0, 1, 2, 3]
    assert len(coco.getAnnIds(imgIds=[0])) == 2
    assert coco.getAnnIds(imgIds=[1]) == []
    (category,) = coco.loadCats(coco.getCatIds())
    assert len(category['keypoints']) == 17
    assert np.min(category['skeleton']) == 1


def test_file_serves_as_ground_truth(
    dancers: SequenceResult, tmp_path
) -> None:
    write_keypoints(dancers, tmp_path / 'p.json')
    truth = COCO(tmp_path / 'p.json')
    found = truth.loadRes(
        [
            {
                name: person[name]
                for name in ('image_id', 'category_id', 'score', 'keypoints')
            }
            for person in truth.loadAnns(truth.getAnnIds())
        ]
    )
    evaluation = COCOeval(truth, found, 'keypoints')
    evaluation.params.areaRng = [[0, 1e10]]
    evaluation.params.areaRngLbl = ['all']
    evaluation.evaluate()
    matches = [image['dtMatches'] for image in evaluation.evalImgs if image]
    assert np.concatenate(matches, axis=1).all()
