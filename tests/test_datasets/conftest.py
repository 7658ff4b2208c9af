# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A small HumanData file with known content and its images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from toy_bodies import paint
from toy_releases import CONFIGS, RELEASES

from aios.datasets import HumanData, HumanDataset
from aios.datasets.converters import convert
from aios.structures import HUMAN_DATA_190

HEIGHT, WIDTH = 240, 320
FOCAL = 300.0


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
            'gender': ['neutral', 'male', 'female'] * count,
            'height': [HEIGHT] * count,
            'width': [WIDTH] * count,
            'focal_length': np.full((count, 2), FOCAL),
            'principal_point': np.tile((WIDTH / 2, HEIGHT / 2), (count, 1)),
        },
        'misc': {'flat_hand_mean': False},
        'config': 'toy',
    }


@pytest.fixture
def arrays():
    """Content of a toy file: images with 2, 1 and 3 persons."""
    content = toy_arrays()
    genders = content['meta']['gender']
    content['meta']['gender'] = genders[: len(content['image_path'])]
    return content


class ToyFile(SimpleNamespace):
    """An annotation file, ``ann_file``, with images below ``root``."""

    def open(self, kind=HumanDataset, **options):
        return kind(self.ann_file, str(self.root), **options)

    def labels(self, kind=HumanDataset, index=0, **options):
        """Labels of one image."""
        dataset = self.open(kind, **options)
        return dataset.get_data_info(index)['instances_arrays']


@pytest.fixture
def toy(arrays, tmp_path):
    """Writes a toy file and its images; call it with changed arrays."""

    def write(content=None, name='humandata.npz', compress=False):
        content = arrays if content is None else content
        data = HumanData(content)
        if compress:
            data.compress()
        path = tmp_path / name
        data.dump(path, overwrite=True)
        for image in set(content['image_path']):
            target = tmp_path / image
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                _draw_noise(target)
        return ToyFile(root=tmp_path, ann_file=str(path))

    return write


def _draw_noise(path: Path) -> None:
    rng = np.random.default_rng(len(str(path)))
    img = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(path), img)


@pytest.fixture(scope='session')
def models(free_body_dir):
    """Folder of the free body."""
    return str(free_body_dir)


@pytest.fixture(scope='session')
def converted(models, tmp_path_factory):
    """Name of a release -> (root, truth, file, summary), converted once."""
    done = {}

    def get(name):
        if name not in done:
            write, kind, split, _, images = RELEASES[name]
            root = tmp_path_factory.mktemp(name)
            truth = write(root, np.random.default_rng(3), models)
            paint(root / images, truth)
            out = root / 'out' / f'{name}.npz'
            summary = convert(kind(root, split, models), out)
            done[name] = root, truth, out, summary
        return done[name]

    return get


@pytest.fixture
def base_config(converted, models, tmp_path, monkeypatch):
    """Name of a release -> its base file and phase; ``AIOS_DATA`` holds it.

    The release lies where ``data/README.md`` says, its annotation file where
    the converter writes it.
    """

    def get(name):
        root, _, out, _ = converted(name)
        monkeypatch.setenv('AIOS_DATA', str(tmp_path / 'data'))
        monkeypatch.setenv('AIOS_BODY_MODELS', models)
        path = CONFIGS / f'{name}.py'
        phase = {'arctic': 'val', 'ehf': 'test'}.get(name, 'train')
        options = Config.fromfile(path)[f'{name}_{phase}']
        place = tmp_path / 'data' / options.ann_file[0]
        place.parent.mkdir(parents=True)
        place.symlink_to(out)
        images = tmp_path / 'data' / options.data_prefix.img
        images.parent.mkdir(parents=True, exist_ok=True)
        images.symlink_to(root / RELEASES[name][4])
        return path, phase

    return get
