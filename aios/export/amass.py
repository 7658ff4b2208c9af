# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The motion of one person in the format of AMASS.

Symbols: ``T`` frames of the file.  Keys are those of the SMPL-X release, as
required by the readers listed in ``docs/en/export.md``:

* ``poses`` (T, 165), ``trans``, ``betas``, ``num_betas``, ``gender``,
  ``mocap_frame_rate`` and ``mocap_framerate``;
* ``root_orient`` (T, 3), ``pose_body`` (T, 63), ``pose_jaw`` (T, 3),
  ``pose_eye`` (T, 6) and ``pose_hand`` (T, 90): the parts of ``poses``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aios.results import SequenceResult
from aios.utils.safe_io import save_npz

from .exporter import FPS_OPTION, Exporter
from .motion import WorldMotion
from .rig import Rig

if TYPE_CHECKING:
    from aios.body_models import BodyModel

_NUM_BETAS = 16
# Ends of the parts of ``poses``.
_PARTS = {
    'root_orient': 3,
    'pose_body': 66,
    'pose_jaw': 69,
    'pose_eye': 75,
    'pose_hand': 165,
}
_FPS = 30.0  # default for images


def write_amass(
    sequence: SequenceResult,
    layer: BodyModel,
    path: str | os.PathLike,
    person_id: int,
    *,
    fps: float | None = None,
    overwrite: bool = False,
) -> int:
    """Write a person's motion as an ``.npz`` file like those of AMASS.

    z is up and y in front of the camera.  If the results have a floor, it is
    at z = 0 and the camera is above the origin; otherwise the camera is level
    and at the origin.  The shape is the person's mean shape; hand poses
    include the mean hand (``flat_hand_mean=True``).  Frames are evenly spaced
    from the first to the last frame of the person, all interpolated if the
    frame rate changes; missing ones are interpolated and marked in the array
    ``interpolated``.  ``has_floor`` says whether there is a floor.
    ``first_frame`` is the number of the first frame, from 0 for the first one
    of the sequence, and ``K``, ``camera_origin`` and ``focal_std`` are its
    camera.

    Args:
        sequence: The results.
        layer: Their body model.
        path: The ``.npz`` file. Missing folders are made.
        person_id: Id of the person.
        fps: Frames per second if the sequence has none; default 30.
        overwrite: Replace an existing file.

    Returns:
        Number of missing frames.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If no person has this id, bodies have no SMPL-X
            parameters, ``fps`` is not positive, or the frames span too long a
            time.
    """
    sequence.check_parameters()
    rig = Rig.of(layer)
    motion = WorldMotion.of(
        sequence, rig, person_id, _FPS if fps is None else fps, up='z'
    )
    source, time = motion.source, motion.time
    mean = source.mean_coefficients
    betas = np.zeros(_NUM_BETAS, np.float32)
    betas[: sequence.betas.shape[1]] = mean[: sequence.betas.shape[1]]
    vectors = [rotation.as_rotvec() for rotation in motion.rotations]
    poses = np.concatenate(vectors, axis=1).astype(np.float32)
    parts = np.split(poses, [*_PARTS.values()][:-1], axis=1)
    trans = motion.pelvis - rig.rest_joints(mean)[0]
    save_npz(
        path,
        {
            'poses': poses,
            **dict(zip(_PARTS, parts, strict=True)),
            'trans': trans.astype(np.float32),
            'betas': betas,
            'num_betas': _NUM_BETAS,
            'gender': sequence.gender,
            'mocap_frame_rate': time.rate,
            'mocap_framerate': time.rate,
            'surface_model_type': 'smplx',
            'expression': time.interpolate(
                sequence.expression[source.rows]
            ).astype(np.float32),
            'interpolated': time.missing,
            'has_floor': sequence.floor is not None,
            'first_frame': time.wanted[0],
            **{
                name: getattr(sequence, name)[source.frames[0]]
                for name in ('K', 'camera_origin', 'focal_std')
            },
        },
        overwrite=overwrite,
    )
    return int(time.missing.sum())


class AMASSExporter(Exporter):
    """Motion for robots and animators."""

    name, suffix = 'amass', '.npz'
    per = 'person'
    about = 'SMPL-X motion like AMASS, z up, a file per person'
    product = 'amass/person{person}.npz'
    flag, flag_help = '--save-amass', 'amass/personK.npz: SMPL-X motion, z up'
    options = FPS_OPTION

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> str | None:
        options.pop('progress', None)
        person = int(sequence.person_ids[0])
        count = write_amass(sequence, layer, path, person, **options)
        if not count:
            return None
        return f'person {person}: {count} missing frames are interpolated'
