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
from toy_human_data import cache_item, toy_arrays  # noqa: E402


def annotation_readers(root: Path, models: str) -> list[Reader]:
    """Annotation readers.

    Args:
        root: An empty folder, for a miniature of COCO and sample files.
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
            cache(root),
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
    content = toy_arrays((2, 1))
    content['meta']['smplx_valid'] = np.ones(3, np.uint8)
    content['frame_range'] = np.array([[0, 2], [2, 3]])
    return content


def cache(folder: Path) -> dict[str, Any]:
    """Content of a cache of it; the folder is for the file."""
    HumanData(human_data()).dump(folder / 'labels.npz')
    labels = HumanDataset(
        str(folder / 'labels.npz'), filter_cfg=dict(missing_images='ignore')
    )
    items = [cache_item(labels, i, '/data/agora/') for i in range(len(labels))]
    return {
        'data_len': np.array(len(items)),
        'data_strategy': np.array(None, dtype=object),
        **{str(i): item for i, item in enumerate(items)},
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
