# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""EMDB 2: motion of a person in world coordinates.

Symbols: ``T`` frames of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import SMPL_FEET
from aios.evaluation.functional import (
    foot_sliding,
    jitter,
    root_trajectory_error,
    world_errors,
)
from aios.evaluation.functional.errors import MILLIMETERS
from aios.evaluation.samples import name_of
from aios.registry import METRICS
from aios.structures import SMPLX_144

from .base import one_record_per_image
from .mesh_metric import Persons
from .smpl_metric import SMPLMetric

_SHARED = 22
_FEET_144 = [SMPLX_144.index(name) for name in SMPL_FEET]
_FEET_SMPL = list(SMPL_FEET.values())


@METRICS.register_module()
class EMDBWorldMetric(SMPLMetric):
    """EMDB 2: errors of motions in world coordinates.

    Predictions are transformed to world coordinates by the *recorded* motion
    of the camera, so the errors are those of persons, not of a camera
    tracker.  Reported are

    - ``W-MPJPE`` and ``WA-MPJPE`` (millimeters) of segments of ``length``
      frames, see :func:`~aios.evaluation.functional.world_errors`, of the
      22 joints that SMPL and SMPL-X share;
    - ``RTE`` of the pelvis, percent of the path length;
    - ``jitter`` of the predicted joints, 10 m/s³; ``foot-sliding``,
      millimeters per frame of toes and heels that touch the ground;
    - ``MPJPE-skeleton`` and ``PA-MPJPE-skeleton`` as of
      :class:`SMPLMetric`, its counts, and ``sequences``.

    Means are over frames of all sequences.  Frames without a match are left
    out (``missed``); jitter and foot sliding use consecutive frames only.

    Args:
        body_model: Config of the SMPL layer.
        match: See :class:`SMPLXMeshMetric`.
        length: Frames of a segment.
        fps: Frames per second.
        **kwargs: See :class:`SMPLXMeshMetric`.
    """

    default_prefix = 'EMDB-world'

    def __init__(
        self,
        body_model: Mapping[str, Any] | None = None,
        match: str = 'one_per_image',
        length: int = 100,
        fps: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(body_model, match, surfaces=False, **kwargs)
        self.length = length
        self.fps = fps
        self.fields += ('smplx_transl',)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """See :meth:`SMPLXMeshMetric.compute_metrics`."""
        metrics = super().compute_metrics(results)
        sequences: dict[str, list[dict]] = {}
        for record in one_record_per_image(results):
            for place in record['places']:
                sequences.setdefault(place['sequence'], []).append(place)
        errors: dict[str, list[np.ndarray]] = {}
        for _, places in sorted(sequences.items()):
            places.sort(key=lambda place: place['frame'])
            for name, values in self._motion_errors(places).items():
                errors.setdefault(name, []).append(values)
        metrics['sequences'] = len(sequences)
        for name, parts in errors.items():
            values = np.concatenate(parts)
            if len(values):
                metrics[name] = float(values.mean())
        return metrics

    def _motion_errors(self, places: list[dict]) -> dict[str, np.ndarray]:
        """Errors of a sequence by name."""
        frames = np.array([place['frame'] for place in places])
        predicted, true = (
            np.stack([place[name] for place in places])
            for name in ('predicted', 'true')
        )
        joints, feet = np.split(predicted, [_SHARED], axis=1)
        true_joints, true_feet = np.split(true, [_SHARED], axis=1)
        w, wa = world_errors(joints, true_joints, self.length)
        rte = root_trajectory_error(joints[:, 0], true_joints[:, 0])
        sliding = foot_sliding(feet, true_feet, frames)
        return {
            'W-MPJPE': w * MILLIMETERS,
            'WA-MPJPE': wa * MILLIMETERS,
            'RTE': np.zeros(0) if rte is None else rte * 100,
            'jitter': jitter(joints, frames, self.fps),
            'foot-sliding': sliding * MILLIMETERS,
        }

    def _details(
        self,
        sample: Mapping[str, Any],
        predicted: Persons,
        true: Persons,
        pairs: np.ndarray,
    ) -> dict[str, Any]:
        """Joints and feet of the matched person in world coordinates."""
        if 'extrinsics' not in true:
            raise ValueError(
                f'{name_of(sample)}: has no camera poses; '
                'the annotation file needs meta.RT (N, 4, 4)'
            )
        path, places = Path(sample['img_path']), []
        if not path.stem.isdecimal():
            raise ValueError(
                f'{path}: must be named by the number of its frame, such as '
                'images/00012.jpg'
            )
        for prediction, person in pairs.tolist():
            meshes, joints = self.bodies(true, np.array([person]))
            true_points = np.concatenate(
                (joints[0, :_SHARED], meshes[0, _FEET_SMPL])
            )
            joints = predicted['joints3d'][prediction]
            points = np.concatenate((joints[:_SHARED], joints[_FEET_144]))
            matrix = true['extrinsics'][person].astype(np.float64)
            places.append(
                {
                    'sequence': path.parent.parent.as_posix(),
                    'frame': int(path.stem),
                    'predicted': _to_world(
                        points + predicted['smplx_transl'][prediction], matrix
                    ),
                    'true': _to_world(
                        true_points + true['smplx_transl'][person], matrix
                    ),
                }
            )
        return {'places': places}


def _to_world(points: np.ndarray, extrinsics: np.ndarray) -> np.ndarray:
    """Transform points ``(K, 3)`` from camera to world coordinates."""
    rotation, offset = extrinsics[:3, :3], extrinsics[:3, 3]
    return (points.astype(np.float64) - offset) @ rotation
