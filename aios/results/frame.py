# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons of one frame; symbols are those of :mod:`aios.results.schema`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aios.structures import Camera

from .predictions import finite_instances
from .schema import (
    CAMERA_ORIGINS,
    FRAME_FIELDS,
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    as_field,
    check_instances,
    complete_instances,
)


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Persons of one frame.

    Args:
        name: Stem of an image's name, or the frame's number in six digits.
        source_frame: Number in the video, from 0; 0 for images.
        timestamp: Seconds; 0 for images.
        K: ``(3, 3)`` intrinsics at the original resolution, pixels.
        size: ``(width, height)`` of the original image.
        instances: The fields of :data:`~aios.results.schema.PERSON_FIELDS`,
            with one row per person. See
            :func:`~aios.results.schema.complete_instances`.
        camera_origin: Source of ``K``, one of
            :data:`~aios.results.CAMERA_ORIGINS`.
        focal_std: Standard deviation of the focal length relative to it; NaN
            if unknown.

    Raises:
        ValueError: If a field is unknown, missing or invalid, or two persons
            have the same id.
    """

    name: str
    source_frame: int
    timestamp: float
    K: np.ndarray
    size: tuple[int, int]
    instances: dict[str, np.ndarray]
    camera_origin: str = 'unknown'
    focal_std: float = math.nan

    def __post_init__(self) -> None:
        where = f'frame {self.name!r}'
        try:
            count = len(np.atleast_1d(self.instances.get('person_id', ())))
            instances = check_instances(self.instances, count)
            frame = check_frames(frame_arrays([self]), 1)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        ids, repeats = np.unique(instances['person_id'], return_counts=True)
        if (repeats > 1).any():
            raise ValueError(
                f'{where}: person_id {ids[repeats > 1][0]} occurs twice'
            )
        width, height = frame['image_sizes'][0].tolist()
        object.__setattr__(self, 'K', frame['K'][0])
        object.__setattr__(self, 'size', (width, height))
        object.__setattr__(self, 'instances', instances)

    def __len__(self) -> int:
        return len(self.instances['person_id'])

    @property
    def camera(self) -> Camera:
        """The camera with ``K``."""
        width, height = self.size
        return Camera(self.K, height, width)

    @property
    def camera_source(self) -> dict[str, Any]:
        """``camera_origin`` and ``focal_std`` for JSON, NaN as ``None``."""
        std = None if math.isnan(self.focal_std) else self.focal_std
        return {'camera_origin': self.camera_origin, 'focal_std': std}

    def select(self, rows: np.ndarray | Sequence[int] | slice) -> FrameResult:
        """Select persons, in the given order.

        Args:
            rows: Mask ``(n,)`` bool or indices.
        """
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows if rows.size else rows.astype(np.int64)
        return replace(
            self,
            instances={n: value[rows] for n, value in self.instances.items()},
        )

    def with_fields(self, **changed: Any) -> FrameResult:
        """The same persons with other values in some fields.

        Args:
            **changed: ``None`` leaves an optional field out.
        """
        return replace(self, instances=self.instances | changed)

    def with_rows(
        self, rows: Sequence[Mapping[str, np.ndarray]]
    ) -> FrameResult:
        """The frame with other values for its persons, one dict each."""
        if not rows:
            return self
        return self.with_fields(
            **{name: np.stack([row[name] for row in rows]) for name in rows[0]}
        )

    def posed(
        self, poser: Callable[..., Any], with_vertices: bool = True
    ) -> FrameResult:
        """The frame with joints and meshes computed from its parameters.

        Args:
            poser: The :class:`aios.body_models.BodyPoser` of the body model
                of the parameters.
            with_vertices: Also compute ``vertices``.
        """
        if not len(self):
            return self
        body = poser(
            {name: self.instances[name] for name in SMPLX_ARGUMENTS},
            return_vertices=with_vertices,
        )
        changed = {
            'joints3d': body.joints,
            'joints2d': self.camera.project(body.joints),
        }
        if with_vertices:
            changed['vertices'] = body.vertices
        return self.with_fields(**changed)

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
        """Convert the prediction of a model for an image.

        Persons with values that are not finite are left out.

        Args:
            prediction: Fields of :func:`~aios.results.predictions_of` in
                pixels of the original image: ``joints3d`` and ``vertices``
                without the translation, which is added here.
            name: Name of the frame.
            size: ``(width, height)`` of the original image.
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
        # The network predicts no eyes.
        absent = {'person_id', 'leye_pose', 'reye_pose'}
        if not with_vertices:
            absent.add('vertices')
        wanted = [field for field in PERSON_FIELDS if field not in absent]
        for field in ('cam_K', *wanted):
            optional = field in wanted and PERSON_FIELDS[field].optional
            if field not in given and not optional:
                raise ValueError(
                    f'frame {name!r}: the prediction has no field {field!r}, '
                    f'it has {", ".join(given)}'
                )
        instances = {f: given[f] for f in wanted if f in given}
        for field in {'joints3d', 'vertices'} & set(instances):
            instances[field] = instances[field] + given['transl'][:, None]
        instances, broken = finite_instances(instances, instances)
        if broken:
            logging.getLogger(__name__).warning(
                'frame %r: dropped %d persons with non-finite values',
                name,
                broken,
            )
        instances = complete_instances(**instances)
        return cls(
            name,
            source_frame,
            timestamp,
            given['cam_K'],
            size,
            instances,
            'virtual',
        )


def frame_arrays(frames: Sequence[FrameResult]) -> dict[str, np.ndarray]:
    """Fields of :data:`~aios.results.schema.FRAME_FIELDS` of frames."""
    return {
        'frame_names': np.array([f.name for f in frames], np.str_),
        'source_frames': np.array([f.source_frame for f in frames], np.int64),
        'timestamps': np.array([f.timestamp for f in frames], np.float64),
        'K': np.array([f.K for f in frames], np.float64).reshape(-1, 3, 3),
        'image_sizes': np.array([f.size for f in frames]).reshape(-1, 2),
        'camera_origin': np.array([f.camera_origin for f in frames], np.str_),
        'focal_std': np.array([f.focal_std for f in frames], np.float64),
    }


def check_frames(
    arrays: Mapping[str, Any], count: int
) -> dict[str, np.ndarray]:
    """Check fields of :data:`~aios.results.schema.FRAME_FIELDS`.

    Args:
        arrays: The fields.
        count: Number of frames.

    Returns:
        The arrays with the types of the table.

    Raises:
        ValueError: If a field is invalid; the message names the row.
    """
    checked = {
        name: as_field(name, field, arrays.get(name), count)
        for name, field in FRAME_FIELDS.items()
    }
    K, sizes = checked['K'], checked['image_sizes']
    bad = (K[:, 2] != (0, 0, 1)).any(1) | (K[:, 0, 0] <= 0) | (K[:, 1, 1] <= 0)
    origins = ~np.isin(checked['camera_origin'], CAMERA_ORIGINS)
    for name, wrong, wanted in (
        ('camera_origin', origins, f'one of {", ".join(CAMERA_ORIGINS)}'),
        ('focal_std', checked['focal_std'] < 0, 'not negative'),
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
