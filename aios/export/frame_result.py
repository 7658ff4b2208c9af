# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""People of one frame; symbols are those of :mod:`aios.export.schema`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mmengine.logging import print_log

from aios.body_models import BodyPoser
from aios.structures import Camera

from .schema import (
    FRAME_FIELDS,
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    as_field,
    check_people,
    complete_people,
)

__all__ = ['FrameResult', 'check_frames', 'frame_arrays']


@dataclass(frozen=True, eq=False)
class FrameResult:
    """People in one frame.

    Args:
        name: Stem of a picture, or the frame's number in six digits.
        source_frame: Number in the video, from 0; 0 for pictures.
        timestamp: Seconds; 0 for pictures.
        K: ``(3, 3)`` intrinsics at the original resolution, pixels.
        size: ``(width, height)`` of the original picture.
        people: The fields of :data:`~aios.export.schema.PERSON_FIELDS`, with
            one row per person. See
            :func:`~aios.export.schema.complete_people`.

    Raises:
        ValueError: If a field is unknown, missing or wrong, or two persons
            have the same id.
    """

    name: str
    source_frame: int
    timestamp: float
    K: np.ndarray
    size: tuple[int, int]
    people: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        where = f'frame {self.name!r}'
        try:
            count = len(np.atleast_1d(self.people.get('person_id', ())))
            people = check_people(self.people, count)
            frame = check_frames(frame_arrays([self]), 1)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        ids, repeats = np.unique(people['person_id'], return_counts=True)
        if (repeats > 1).any():
            raise ValueError(
                f'{where}: person_id {ids[repeats > 1][0]} occurs twice'
            )
        width, height = frame['image_sizes'][0].tolist()
        object.__setattr__(self, 'K', frame['K'][0])
        object.__setattr__(self, 'size', (width, height))
        object.__setattr__(self, 'people', people)

    def __len__(self) -> int:
        return len(self.people['person_id'])

    def select(self, rows: np.ndarray | Sequence[int] | slice) -> FrameResult:
        """Some of the persons, in the given order.

        Args:
            rows: Mask ``(n,)`` bool or indices.
        """
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows if rows.size else rows.astype(np.int64)
        people = {name: value[rows] for name, value in self.people.items()}
        return replace(self, people=people)

    def with_people(self, **changed: np.ndarray) -> FrameResult:
        """The same frame with other values in some fields."""
        return replace(self, people=self.people | changed)

    def posed(
        self, poser: BodyPoser, with_vertices: bool = True
    ) -> FrameResult:
        """The frame with joints and meshes that follow from its parameters.

        Args:
            poser: Of the body model that the parameters are for.
            with_vertices: Also compute ``vertices``.
        """
        if not len(self):
            return self
        body = poser(
            {name: self.people[name] for name in SMPLX_ARGUMENTS},
            return_vertices=with_vertices,
        )
        width, height = self.size
        pixels = Camera(self.K, height, width).project(body.joints)
        changed = {'joints3d': body.joints, 'joints2d': pixels}
        if with_vertices:
            changed['vertices'] = body.vertices
        return self.with_people(**changed)

    @classmethod
    def from_prediction(
        cls,
        prediction: Mapping[str, Any],
        name: str,
        size: tuple[int, int],
        source_frame: int = 0,
        timestamp: float = 0.0,
        with_vertices: bool = False,
    ) -> FrameResult:
        """What a model predicts for a picture.

        Persons with values that are not finite are left out.

        Args:
            prediction: The fields of
                :func:`aios.evaluation.samples.predictions_of` in pixels of
                the original picture: ``joints3d`` and ``vertices`` without
                the translation, which is added here.
            name: Name of the frame.
            size: ``(width, height)`` of the original picture.
            source_frame: Number in the video.
            timestamp: Seconds.
            with_vertices: Keep the meshes.

        Raises:
            ValueError: If a field is missing or wrong.
        """
        given = {
            field.removeprefix('smplx_'): np.asarray(value)
            for field, value in prediction.items()
        }
        wanted = set(PERSON_FIELDS) - {'person_id'}
        if not with_vertices:
            wanted.remove('vertices')
        people = {field: given[field] for field in wanted & set(given)}
        eyes = ('leye_pose', 'reye_pose')  # the network says nothing of them
        lacking = sorted(
            field
            for field in wanted - set(people) - set(eyes)
            if not PERSON_FIELDS[field].optional
        )
        if lacking or 'cam_K' not in given:
            raise ValueError(
                f'frame {name!r}: the prediction has no field '
                f'{(lacking or ["cam_K"])[0]!r}, it has {", ".join(given)}'
            )
        for field in {'joints3d', 'vertices'} & set(people):
            people[field] = people[field] + people['transl'][:, None]
        finite = _finite_rows(people)
        if not finite.all():
            print_log(
                f'frame {name!r}: {(~finite).sum()} persons with values that '
                'are not finite are left out',
                logger='current',
                level=logging.WARNING,
            )
        people = {field: value[finite] for field, value in people.items()}
        people = complete_people(scores=people.pop('scores'), **people)
        return cls(name, source_frame, timestamp, given['cam_K'], size, people)


def frame_arrays(frames: Sequence[FrameResult]) -> dict[str, np.ndarray]:
    """Fields of :data:`~aios.export.schema.FRAME_FIELDS` of frames."""
    return {
        'frame_names': np.array([f.name for f in frames], np.str_),
        'source_frames': np.array([f.source_frame for f in frames], np.int64),
        'timestamps': np.array([f.timestamp for f in frames], np.float64),
        'K': np.array([f.K for f in frames], np.float64).reshape(-1, 3, 3),
        'image_sizes': np.array([f.size for f in frames]).reshape(-1, 2),
    }


def check_frames(
    arrays: Mapping[str, Any], count: int
) -> dict[str, np.ndarray]:
    """Check fields of :data:`~aios.export.schema.FRAME_FIELDS`.

    Args:
        arrays: The fields.
        count: Number of frames.

    Returns:
        The arrays with the types of the table.

    Raises:
        ValueError: If a field is wrong; the message names the row.
    """
    checked = {
        name: as_field(name, field, arrays[name], count)
        for name, field in FRAME_FIELDS.items()
    }
    K, sizes = checked['K'], checked['image_sizes']
    bad = (K[:, 2] != (0, 0, 1)).any(1) | (K[:, 0, 0] <= 0) | (K[:, 1, 1] <= 0)
    for name, wrong, wanted in (
        ('K', bad, '[[fx, s, cx], [0, fy, cy], [0, 0, 1]]'),
        ('image_sizes', (sizes < 1).any(1), '(width, height), positive'),
        ('source_frames', checked['source_frames'] < 0, 'not negative'),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f'{name} must be {wanted}, row {row} is '
                f'{checked[name][row].tolist()}'
            )
    return checked


def _finite_rows(people: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mask ``(n,)`` of the persons whose values are all finite."""
    return np.logical_and.reduce(
        [
            np.isfinite(value).all(axis=tuple(range(1, value.ndim)))
            for value in people.values()
        ]
    )
