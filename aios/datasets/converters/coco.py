# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""COCO-WholeBody with NeuralAnnot's fits, and functions shared with UBody.

UBody also has annotations of COCO-WholeBody's format and NeuralAnnot's fits.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .base import Converter, ConverterError, reading
from .bodies import smplx_joints
from .table import Cameras, PersonTable, annotated_boxes, smplx_columns

# COCO-WholeBody's order of 133: body, feet, face, left hand, right hand.
_GROUPS = {
    'keypoints': 17,
    'foot_kpts': 6,
    'face_kpts': 68,
    'lefthand_kpts': 21,
    'righthand_kpts': 21,
}
_PARTS = {'lhand': 'lefthand', 'rhand': 'righthand', 'face': 'face'}
# HumanData's name, NeuralAnnot's name, numbers per person
_FIT = {
    'global_orient': ('root_pose', 3),
    'body_pose': ('body_pose', 63),
    'left_hand_pose': ('lhand_pose', 45),
    'right_hand_pose': ('rhand_pose', 45),
    'jaw_pose': ('jaw_pose', 3),
    'betas': ('shape', 10),
    'expression': ('expr', 10),
    'transl': ('trans', 3),
}


# Lists of at least so many numbers are packed: keypoints and poses.
_MIN_PACKED = 9
_MAX_SIZE = 100_000  # pixels


def read_json(path: Path) -> Any:
    """Read a JSON file; long lists of numbers become float32 arrays.

    Lists would take eight times the memory: COCO-WholeBody alone has a
    hundred million numbers.

    Raises:
        ConverterError: If it is not JSON.
    """
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file, object_hook=_pack_numbers)
    except (ValueError, RecursionError) as error:
        raise ConverterError(
            f'{path}: damaged or not JSON ({error}); download it again'
        ) from error


def _pack_numbers(record: dict[str, Any]) -> dict[str, Any]:
    record.pop('segmentation', None)  # large and unused
    for name, value in record.items():
        if isinstance(value, list) and len(value) >= _MIN_PACKED:
            kinds = {type(number) for number in value}
            if kinds <= {int, float}:
                with np.errstate(over='ignore'):  # dropped later
                    record[name] = np.array(value, np.float32)
    return record


def numbers_of(annotation: Mapping, field: str, count: int) -> np.ndarray:
    """``(count,)`` numbers of an annotation.

    Raises:
        ValueError: If the field is not ``count`` numbers; it names both.
    """
    value = annotation.get(field)
    try:
        numbers = np.asarray(value, np.float64)
    except (OverflowError, TypeError, ValueError):
        numbers = np.zeros(())
    if numbers.shape != (count,):
        raise ValueError(
            f'annotation {annotation.get("id")}: {field} must be {count} '
            f'numbers, got {value!r:.80}'
        )
    return numbers


def image_sizes(images: Sequence[Mapping]) -> np.ndarray:
    """``(N, 2)`` height and width of entries of ``images``.

    Raises:
        ValueError: If an entry lacks its size or its name; it names both.
    """
    for image in images:
        name = image.get('file_name')
        if not isinstance(name, str) or not name:
            raise ValueError(
                f'image {image.get("id")}: file_name must be the name of a '
                f'file, got {name!r:.80}'
            )
        for field in ('height', 'width'):
            value = image.get(field)
            if (
                not isinstance(value, (int, float))
                or not 0 < value <= _MAX_SIZE
            ):
                raise ValueError(
                    f'image {image.get("id")}: {field} must be a number of '
                    f'pixels up to {_MAX_SIZE}, got {value!r:.80}'
                )
    return np.array([(int(i['height']), int(i['width'])) for i in images])


def whole_body_keypoints(annotations: Sequence[Mapping]) -> np.ndarray:
    """Annotated keypoints.

    Returns:
        ``(N, 133, 3)`` x, y and visibility: 0, 1 or 2 for bodies and feet,
        any number from 0 to 2 for hands, faces and in UBody.
    """
    points = np.zeros((len(annotations), sum(_GROUPS.values()), 3))
    start = 0
    for name, count in _GROUPS.items():
        for row, annotation in enumerate(annotations):
            values = annotation.get(name)
            if values is None or np.size(values) == 0:
                continue
            numbers = numbers_of(annotation, name, 3 * count)
            points[row, start : start + count] = numbers.reshape(count, 3)
        start += count
    return points


def whole_body_columns(
    annotations: Sequence[Mapping], sizes: np.ndarray, key: str
) -> dict[str, np.ndarray]:
    """Annotated boxes and keypoints.

    A joint has confidence 1 if its visibility is above 0.  Visibilities of
    COCO-WholeBody's hands and faces are fractions, and 1 means annotated but
    hidden for body joints.

    Args:
        annotations: ``N`` annotations in COCO-WholeBody's format.
        sizes: ``(N, 2)`` height and width of the images.
        key: Name of the keypoints in HumanData.
    """
    points = whole_body_keypoints(annotations)
    seen = points[..., 2] > 0
    points = np.concatenate((points[..., :2], seen[..., None]), axis=-1)
    points[~seen] = 0
    all_rows = np.ones(len(annotations), bool)
    columns = {
        key: points.astype(np.float32),
        'bbox_xywh': annotated_boxes(
            [numbers_of(a, 'bbox', 4) for a in annotations], sizes, all_rows
        ),
    }
    for part, name in _PARTS.items():
        valid = np.array([bool(a.get(f'{name}_valid')) for a in annotations])
        boxes = [
            numbers_of(a, f'{name}_box', 4)
            if a.get(f'{name}_box')
            else np.zeros(4)
            for a in annotations
        ]
        columns[f'{part}_bbox_xywh'] = annotated_boxes(boxes, sizes, valid)
        columns[f'meta/{name}_valid'] = valid.astype(np.uint8)
    return columns


def fit_columns(
    fits: Sequence[Mapping | None], sizes: np.ndarray
) -> tuple[dict[str, np.ndarray], Cameras]:
    """NeuralAnnot's parameters and cameras; zeros where there is no fit.

    Args:
        fits: ``N`` entries with ``smplx_param`` and ``cam_param``, or None.
        sizes: ``(N, 2)`` height and width of the images.

    Returns:
        SMPL-X dictionary and cameras.
    """
    params = {
        name: np.zeros((len(fits), size)) for name, (_, size) in _FIT.items()
    }
    focal = np.ones((len(fits), 2))
    center = np.zeros((len(fits), 2))
    for row, fit in enumerate(fits):
        if fit is None:
            continue
        for name, (source, size) in _FIT.items():
            value = np.ravel(fit['smplx_param'].get(source, np.zeros(size)))
            params[name][row] = value[:size]
        focal[row] = fit['cam_param']['focal']
        center[row] = fit['cam_param']['princpt']
    return params, Cameras(focal, center, sizes)


class _Record(NamedTuple):
    """A person of COCO."""

    image: dict
    person: dict
    fit: dict | None

    @property
    def is_crowd(self) -> bool:
        return bool(self.person.get('iscrowd'))


@dataclass(eq=False)
class COCOConverter(Converter):
    """COCO 2017 train: COCO-WholeBody's keypoints, NeuralAnnot's fits.

    Persons without a fit are kept with their box and keypoints
    (``meta.smplx_valid`` is 0).  All labeled joints, including hidden ones,
    have confidence 1.

    Args:
        root: Folder with ``annotations`` and ``train2017``.
        split: ``'train'``.
        body_models: Folder of ``SMPLX_NEUTRAL.npz``.
        interval: Take every n-th image.
        keep_crowds: Whether to keep boxes of crowds as rows
            (``meta.iscrowd`` is 1, without keypoints and fit); they are
            left out by default, as in the published file.
    """

    NAME = 'coco'
    SPLITS = ('train',)
    MISC = {
        'flat_hand_mean': False,
        'smplx_source': 'nerual_annot',
        'bbox_source': 'original',
        'bbox_body_scale': 1.0,
    }
    KEYPOINTS = 'annotations/coco_wholebody_train_v1.0.json'
    FITS = (
        'annotations/MSCOCO_train_SMPLX_all_NeuralAnnot.json',
        'annotations/MSCOCO_train_SMPLX.json',
    )
    """NeuralAnnot's file, by its current and its former name."""
    UNIT = 10_000  # images

    keep_crowds: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._images: list[dict] | None = None
        self._persons: dict[int, list[dict]] = {}
        self._fits: dict[str, dict] = {}
        self._records: list[_Record] | None = None

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """``--keep-crowds``."""
        parser.add_argument(
            '--keep-crowds',
            action='store_true',
            help='keep crowd boxes, for the dataset option ignore_crowds',
        )

    def _fits_file(self) -> Path:
        places = [self.root / name for name in self.FITS]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            raise self.missing(*places)
        return found

    def _load(self) -> list[dict]:
        if self._images is None:
            path = self.require(self.KEYPOINTS)
            fits = self._fits_file()
            with reading(path):
                labels = read_json(path)
                for annotation in labels['annotations']:
                    image = annotation['image_id']
                    self._persons.setdefault(image, []).append(annotation)
                images = sorted(labels['images'], key=lambda i: i['id'])
                images = [i for i in images if i['id'] in self._persons]
                persons = [p for v in self._persons.values() for p in v]
                known = {str(person['id']) for person in persons}
                if not images:
                    raise ValueError(
                        'no annotation refers to an image of the file'
                    )
            self._fits = read_json(fits)
            if not isinstance(self._fits, dict) or not known & set(self._fits):
                raise ConverterError(
                    f'{fits}: has no fits of persons in {path}; it must be '
                    'the file for COCO 2017 train'
                )
            self._images = images[:: self.interval]
        return self._images

    def units(self) -> list[str]:
        """Blocks of 10,000 images."""
        count = len(self._load())
        return [str(start) for start in range(0, count, self.UNIT)]

    def for_unit(self, unit: str) -> COCOConverter:
        """A converter that holds only the annotations of this unit."""
        images = self._load()[int(unit) : int(unit) + self.UNIT]
        part = copy.copy(self)
        part._images, part._persons, part._fits = None, {}, {}
        part._records = [
            _Record(image, person, self._fits.get(str(person['id'])))
            for image in images
            for person in self._persons[image['id']]
        ]
        return part

    def convert(self, unit: str) -> PersonTable:
        """Persons of a block of images."""
        if self._records is None:
            return self.for_unit(unit).convert(unit)
        table = PersonTable()
        table.counts['crowd'] = sum(r.is_crowd for r in self._records)
        kept = [r for r in self._records if self.keep_crowds or not r.is_crowd]
        if not kept:
            return table
        persons = [r.person for r in kept]
        with reading(self.root / self.KEYPOINTS):
            sizes = image_sizes([r.image for r in kept])
            annotated = whole_body_columns(persons, sizes, 'keypoints2d_ori')
        fitted = np.array([r.fit is not None for r in kept])
        table.counts['without body fit'] = sum(
            r.fit is None and not r.is_crowd for r in kept
        )
        with reading(self._fits_file()):
            params, cameras = fit_columns([r.fit for r in kept], sizes)
        points = cameras.project(smplx_joints(params, self.body_models))
        points[~fitted] = 0
        table.columns = {
            'image_path': np.array(
                [f'train2017/{r.image["file_name"]}' for r in kept]
            ),
            **annotated,
            'keypoints2d_smplx': points.astype(np.float32),
            **smplx_columns(params),
            **cameras.meta_columns('neutral', fitted),
        }
        if self.keep_crowds:
            crowds = [r.is_crowd for r in kept]
            table.columns['meta/iscrowd'] = np.array(crowds, np.uint8)
        table.drop_empty_boxes('empty box')
        return table
