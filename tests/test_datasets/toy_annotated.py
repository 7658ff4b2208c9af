# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small versions of hand-annotated releases: COCO and UBody."""

from __future__ import annotations

import json

import numpy as np
from toy_bodies import Truth, image, sample_params

from aios.datasets.converters.bodies import smplx_joints
from aios.structures import joint_mapping


def _whole_body(pixels, rng):
    """COCO-WholeBody fields for projected joints.

    Bodies and feet are labeled with 2; hands and faces, which a network
    labeled and persons checked, with the network's scores.
    """
    index = joint_mapping('smplx_144', 'coco_wholebody', approximate=True)
    points = np.zeros((133, 3))
    known = index >= 0
    points[known, :2] = pixels[index[known]].round(1)
    points[known, 2] = 2
    scores = rng.uniform(0.02, 1, 133)
    points[23:91, 2] = np.where(known[23:91], 1 + scores[23:91].round(2), 0)
    points[91:, 2] = np.where(known[91:], scores[91:], 0)

    def box(group):
        low, high = group.min(0), group.max(0)
        return [*low.tolist(), *(high - low).tolist()]

    def flat(start, end):
        return points[start:end].ravel().tolist()

    return {
        'category_id': 1,
        'iscrowd': 0,
        'area': float(np.ptp(pixels[:55], axis=0).prod()),
        'segmentation': [[1.5, 2.5, 30.0, 2.5, 30.0, 40.0]],
        'bbox': box(pixels[:55]),
        'num_keypoints': 17,
        # The body's are whole numbers.
        'keypoints': points[:17].astype(int).ravel().tolist(),
        'foot_kpts': flat(17, 23),
        'face_kpts': flat(23, 91),
        'lefthand_kpts': flat(91, 112),
        'righthand_kpts': flat(112, 133),
        'lefthand_box': box(points[92:112, :2]),
        'righthand_box': box(points[113:133, :2]),
        'face_box': box(points[23:91, :2]),
        'foot_valid': True,
        'lefthand_valid': True,
        'righthand_valid': True,
        'face_valid': True,
    }


def _invalidate(person, part):
    """Set parts without labels to zero."""
    person[f'{part}_valid'] = False
    person[f'{part}_box'] = [0.0, 0.0, 0.0, 0.0]
    person[f'{part}_kpts'] = [0] * len(person[f'{part}_kpts'])


def _neural_annot(params, row, camera):
    names = {
        'root_pose': 'global_orient',
        'body_pose': 'body_pose',
        'shape': 'betas',
        'lhand_pose': 'left_hand_pose',
        'rhand_pose': 'right_hand_pose',
        'jaw_pose': 'jaw_pose',
        'expr': 'expression',
        'trans': 'transl',
    }
    flags = dict.fromkeys(('lhand_valid', 'rhand_valid', 'face_valid'), True)
    return {
        'smplx_param': {
            **{k: params[v][row].tolist() for k, v in names.items()},
            **flags,
        },
        'cam_param': {
            'focal': camera[:2].tolist(),
            'princpt': camera[2:].tolist(),
        },
    }


def coco(root, rng, models):
    """Two images; a crowd, and one person without a fit."""
    truth, camera = Truth(), np.array([500.0, 500.0, 320.0, 240.0])
    params = sample_params(rng, 4)
    joints = smplx_joints(params, models)
    images, persons, fits = [], [], {}
    for number in (9, 25):
        name = f'{number:012d}.jpg'
        image(root / 'train2017' / name, 480, 640)
        images.append(
            {
                'license': 3,
                'file_name': name,
                'coco_url': f'http://images.cocodataset.org/train2017/{name}',
                'height': 480,
                'width': 640,
                'date_captured': '2013-11-14 11:18:45',
                'id': number,
            }
        )
    for row, number in enumerate((25, 9, 25, 9)):
        truth.add(f'train2017/{number:012d}.jpg', joints[row], camera)
        pixels = joints[row, :, :2] / joints[row, :, 2:] * 500 + (320, 240)
        persons.append(
            {'id': 100 + row, 'image_id': number, **_whole_body(pixels, rng)}
        )
        if row < 3:
            fits[str(100 + row)] = _neural_annot(params, row, camera)
    _invalidate(persons[0], 'lefthand')
    persons[0]['keypoints'][2] = 1  # the nose is hidden
    persons[0]['keypoints'][3:6] = 0, 0, 0  # the left eye is not labeled
    crowd = {'id': 999, 'image_id': 9, 'iscrowd': 1, 'bbox': [0, 0, 90, 90]}
    folder = root / 'annotations'
    folder.mkdir()
    (folder / 'coco_wholebody_train_v1.0.json').write_text(
        json.dumps({'images': images, 'annotations': [*persons, crowd]})
    )
    (folder / 'MSCOCO_train_SMPLX_all_NeuralAnnot.json').write_text(
        json.dumps(fits)
    )
    return truth


def ubody(root, rng, models):
    """One scene: two videos, one of them for tests; persons to leave out."""
    truth, camera = Truth(), np.array([700.0, 700.0, 320.0, 180.0])
    scene, videos = 'Speech', ('Speech_S1_Trim1', 'Speech_S2_Trim4')
    images, persons, fits = [], [], {}
    params = sample_params(rng, 8)
    joints = smplx_joints(params, models)
    for number in range(4):
        name = f'{videos[number // 2]}/{number:06d}.png'
        image(root / 'images' / scene / name, 360, 640)
        images.append(
            {'id': number, 'file_name': name, 'height': 360, 'width': 640}
        )
    for row in range(8):
        pixels = joints[row, :, :2] / joints[row, :, 2:] * 700 + (320, 180)
        person = {
            'id': row,
            'image_id': row // 2,
            'valid_label': 2,
            **_whole_body(pixels, rng),
        }
        persons.append(person)
        fits[str(row)] = _neural_annot(params, row, camera)
        name = images[row // 2]['file_name']
        truth.add(f'images/{scene}/{name}', joints[row], camera)
    persons[1]['valid_label'] = 0
    persons[2]['iscrowd'] = 1
    _invalidate(persons[3], 'face')
    persons.append({**persons[0], 'id': 50})  # annotated twice
    fits['50'] = fits['0']
    folder = root / 'annotations' / scene
    folder.mkdir(parents=True)
    (folder / 'keypoint_annotation.json').write_text(
        json.dumps({'images': images, 'annotations': persons})
    )
    (folder / 'smplx_annotation.json').write_text(json.dumps(fits))
    (root / 'splits').mkdir()
    for protocol in ('intra', 'inter'):
        file = root / 'splits' / f'{protocol}_scene_test_list.npy'
        np.save(file, np.array(['Speech_S2']))
    return truth
