# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Annotation readers with valid sample files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.harness import Reader, write_file

from aios.datasets import (
    AiOSCacheDataset,
    CocoImageDataset,
    HumanData,
    HumanDataError,
    HumanDataset,
)
from aios.datasets.converters import COCOConverter, ConverterError
from aios.datasets.converters.base import convert
from aios.evaluation.metrics import CocoWholeBodyMetric

sys.path.append(str(Path(__file__).parents[1] / 'test_datasets'))

from toy_annotated import coco  # noqa: E402

_COUNT = 3


def annotation_readers(root: Path, models: str) -> list[Reader]:
    """Annotation readers.

    Args:
        root: An empty folder, for a miniature of COCO.
        models: Folder of a body model.
    """
    coco(root, np.random.default_rng(3), models)
    folder = root / 'annotations'
    persons = folder / COCOConverter.KEYPOINTS.rpartition('/')[2]
    (fits,) = folder.glob('MSCOCO*')
    refused = (HumanDataError,)
    return [
        Reader(
            'HumanData .npz',
            'labels.npz',
            human_data(),
            write_file,
            _read_data_set(HumanDataset),
            refused,
        ),
        Reader(
            'HumanData .pkl',
            'labels.pkl',
            human_data(),
            write_file,
            HumanData.load,
            refused,
        ),
        Reader(
            'AiOS cache',
            'cache.npz',
            cache(),
            write_file,
            _read_data_set(AiOSCacheDataset),
            refused,
        ),
        Reader(
            'COCO images',
            'coco.json',
            json.loads(persons.read_text()),
            write_file,
            lambda path: CocoImageDataset(str(path))[0],
            (ValueError,),
        ),
        Reader(
            'COCO-WholeBody, evaluation',
            'truth.json',
            _complete(json.loads(persons.read_text())),
            write_file,
            _evaluate(25),
            (ValueError,),
        ),
        Reader(
            'COCO-WholeBody',
            persons.name,
            json.loads(persons.read_text()),
            write_file,
            _convert(fits, models),
            (ConverterError,),
        ),
        Reader(
            'NeuralAnnot',
            fits.name,
            json.loads(fits.read_text()),
            write_file,
            _convert(persons, models),
            (ConverterError,),
        ),
    ]


def human_data() -> dict[str, Any]:
    """Content of a small HumanData file."""
    rng = np.random.default_rng(0)

    def real(*shape: int) -> np.ndarray:
        return rng.uniform(1, 50, (_COUNT, *shape)).astype(np.float32)

    boxes = np.tile(np.float32([4, 5, 50, 60, 1]), (_COUNT, 1))
    points, points3d = real(190, 3), real(190, 4)
    points[..., 2] = points3d[..., 3] = 1  # confidence
    return {
        'image_path': ['a.png', 'a.png', 'b.png'],
        'bbox_xywh': boxes,
        'lhand_bbox_xywh': boxes / 2,
        'keypoints2d_smplx': points,
        'keypoints2d_smplx_mask': np.ones(190, np.uint8),
        'keypoints2d_smplx_convention': 'human_data',
        'keypoints3d_smplx': points3d,
        'smplx': {
            'global_orient': real(3),
            'body_pose': real(21, 3),
            'left_hand_pose': real(15, 3),
            'betas': real(10),
            'expression': real(10),
            'transl': real(3),
        },
        'meta': {
            'gender': ['male', 'female', 'neutral'],
            'height': [100] * _COUNT,
            'width': [90] * _COUNT,
            'focal_length': np.full((_COUNT, 2), 300.0),
            'principal_point': np.full((_COUNT, 2), 45.0),
            'smplx_valid': np.ones(_COUNT, np.uint8),
        },
        'misc': {'flat_hand_mean': False},
        'frame_range': np.array([[0, 2], [2, 3]]),
    }


def cache() -> dict[str, Any]:
    """Content of a cache with two images."""
    rng = np.random.default_rng(0)

    def item(name: str, count: int) -> dict[str, Any]:
        def real(*shape: int) -> np.ndarray:
            return rng.uniform(1, 50, (count, *shape)).astype(np.float32)

        box = np.float32([4, 5, 50, 60])
        points, points3d = real(137, 3), real(137, 4)
        points[..., 2] = points3d[..., 3] = 1  # confidence
        return {
            'img_path': f'/data/agora/{name}',
            'img_shape': (100, 90),
            'bbox': [box] * count,
            'lhand_bbox': [None] * count,
            'joint_img': points,
            'joint_cam': points3d,
            'smplx_param': {
                'root_pose': real(3),
                'body_pose': real(63),
                'lhand_pose': real(45),
                'shape': real(10),
                'expr': real(10),
                'lhand_valid': np.ones(count, bool),
            },
            'gender': ['male'] * count,
            'as_smplx': 'smplx',
        }

    return {
        'data_len': np.array(2),
        'data_strategy': np.array(None, dtype=object),
        '0': item('a.png', 1),
        '1': item('b.png', 2),
    }


def _read_data_set(kind: type[HumanDataset]) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        data_set = kind(
            str(path),
            filter_cfg=dict(missing_images='ignore'),
            cache_dir=str(path.parent / 'labels'),
            body_model_path='free',
        )
        return [data_set.get_data_info(i) for i in range(len(data_set))]

    return read


def _complete(content: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that only the evaluation reads; remove the crowd."""
    persons = [p for p in content['annotations'] if not p['iscrowd']]
    category = {'id': 1, 'name': 'person'}
    return content | {
        'annotations': [
            p | {'category_id': 1, 'area': 900.0} for p in persons
        ],
        'categories': [category],
    }


def _evaluate(image: int) -> Callable[[Path], object]:
    """Evaluate an image without detections."""
    nobody = dict(scores=np.ones(0), joints2d=np.ones((0, 144, 2)))
    nobody['labels'] = np.ones(0)

    def read(path: Path) -> object:
        metric = CocoWholeBodyMetric(str(path))
        metric.process(None, [dict(img_id=image, pred_instances=nobody)])
        return metric.evaluate(1)

    return read


def _convert(other: Path, models: str) -> Callable[[Path], object]:
    """Convert COCO with one of its two files, next to the other, valid one."""

    def read(path: Path) -> object:
        folder = path.parent / 'annotations'
        folder.mkdir()
        shutil.copy(other, folder)
        shutil.copy(path, folder)
        out = path.parent / 'out.npz'
        return convert(COCOConverter(path.parent, 'train', models), out)

    return read
