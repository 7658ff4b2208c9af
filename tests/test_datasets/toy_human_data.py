# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Content of a small HumanData file, and of an AiOS cache of it."""

from __future__ import annotations

import numpy as np

from aios.structures import HUMAN_DATA_190

HEIGHT, WIDTH = 240, 320
FOCAL = 300.0
EYES = [67, 68]  # eyeballs of the 137 joints


def toy_arrays(counts=(2, 1, 3), seed=0):
    """Arrays of a toy file; persons of an image are consecutive rows."""
    rng = np.random.default_rng(seed)
    count = sum(counts)
    joints = len(HUMAN_DATA_190)
    center = rng.uniform((-0.5, -0.3, 3.0), (0.5, 0.3, 4.0), (count, 1, 3))
    points = center + rng.uniform(-0.4, 0.4, (count, joints, 3))
    pixels = points[..., :2] / points[..., 2:] * FOCAL
    pixels += (WIDTH / 2, HEIGHT / 2)
    ones = np.ones((count, joints, 1))
    mask = np.zeros(joints, np.uint8)
    mask[:144] = 1
    keypoints2d = np.concatenate((pixels, ones), -1) * mask[:, None]
    keypoints3d = np.concatenate((points, ones), -1) * mask[:, None]
    low = pixels[:, :144].min(1)
    size = pixels[:, :144].max(1) - low
    body = np.concatenate((low, size, np.ones((count, 1))), -1)
    images = np.repeat(np.arange(len(counts)), counts)

    def part(share):
        corner = low + size * share
        return np.concatenate((corner, size * 0.2, ones[:, 0]), -1)

    f32 = np.float32
    return {
        'image_path': [f'images/{i:06d}.png' for i in images],
        'bbox_xywh': body.astype(f32),
        'lhand_bbox_xywh': part(0.1).astype(f32),
        'rhand_bbox_xywh': part(0.5).astype(f32),
        'face_bbox_xywh': part(0.7).astype(f32),
        'keypoints2d_smplx': keypoints2d.astype(f32),
        'keypoints2d_smplx_mask': mask,
        'keypoints2d_smplx_convention': 'human_data',
        'keypoints3d_smplx': keypoints3d.astype(f32),
        'keypoints3d_smplx_mask': mask.copy(),
        'keypoints3d_smplx_convention': 'human_data',
        'smplx': {
            'global_orient': rng.normal(size=(count, 3)).astype(f32),
            'body_pose': rng.normal(size=(count, 21, 3)).astype(f32),
            'left_hand_pose': rng.normal(size=(count, 15, 3)).astype(f32),
            'right_hand_pose': rng.normal(size=(count, 15, 3)).astype(f32),
            'jaw_pose': rng.normal(size=(count, 3)).astype(f32),
            'leye_pose': np.zeros((count, 3), f32),
            'reye_pose': np.zeros((count, 3), f32),
            'betas': rng.normal(size=(count, 10)).astype(f32),
            'expression': rng.normal(size=(count, 10)).astype(f32),
            'transl': center[:, 0].astype(f32),
        },
        'meta': {
            'gender': (['neutral', 'male', 'female'] * count)[:count],
            'height': [HEIGHT] * count,
            'width': [WIDTH] * count,
            'focal_length': np.full((count, 2), FOCAL),
            'principal_point': np.tile((WIDTH / 2, HEIGHT / 2), (count, 1)),
        },
        'misc': {'flat_hand_mean': False},
        'config': 'toy',
    }


def cache_item(reference, index, rooted):
    """One image in the cache's format, eyeballs the wrong way round."""
    info = reference.get_data_info(index)
    store = reference.labels
    start, end = store['image_rows'][index]

    def column(name):
        return store.rows(name, start, end)

    keypoints, keypoints3d = column('keypoints'), column('keypoints3d')
    for points in (keypoints, keypoints3d):
        points[:, EYES] = points[:, EYES[::-1]]
    keypoints3d[..., :3] += (0.1, 0.2, 3)  # not root-aligned
    pose = column('smplx_pose')
    count = end - start
    yes = np.ones(count, bool)
    return {
        'img_path': f'{rooted}images/{index:06d}.png',
        'img_shape': (info['height'], info['width']),
        'bbox': list(column('bboxes')),
        'lhand_bbox': [None, *column('lhand_bboxes')[1:]],
        'rhand_bbox': list(column('rhand_bboxes')),
        'face_bbox': list(column('face_bboxes')),
        'joint_img': keypoints,
        'joint_cam': keypoints3d,
        'smplx_param': {
            'root_pose': pose[:, 0],
            'body_pose': pose[:, 1:22],
            'lhand_pose': pose[:, 22:37],
            'rhand_pose': pose[:, 37:52],
            'jaw_pose': pose[:, 52],
            'expr': column('smplx_expression'),
            'shape': column('smplx_betas'),
            'trans': column('smplx_transl'),
            'lhand_valid': yes,
            'rhand_valid': yes,
            'face_valid': yes,
            'smplx_valid': yes,
            'betas_neutral': np.zeros((count, 10), np.float32),
        },
        'as_smplx': 'smplx',
        'gender': np.array(['neutral', 'male', 'female'])[
            column('gender') + 1
        ],
        'occlusion': np.full(count, 98.0),
        'is_kid': np.ones(count),
    }
