# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL bodies as ground truth, with all that SMPL-X has no place for.

``P`` persons.
"""

from __future__ import annotations

import numpy as np

from .faults import Fault, HumanDataError
from .human_data import HumanData


def smpl_columns(data: HumanData, rows: np.ndarray) -> dict[str, np.ndarray]:
    """SMPL parameters and camera poses of a file.

    Args:
        data: The file, with ``smpl``.
        rows: ``(P,)`` which rows.

    Returns:
        ``smpl_pose`` ``(P, 72)`` axis-angle, ``smpl_betas`` ``(P, 10)`` and,
        if the file has ``meta.RT``, ``extrinsics`` ``(P, 4, 4)`` from the
        world to the camera.

    Raises:
        HumanDataError: If the file lacks parameters, or hands among them.
    """
    params = data.get('smpl', {})
    sizes = {'global_orient': 3, 'body_pose': 69, 'betas': 10}
    values = {}
    for name, size in sizes.items():
        value = np.asarray(params.get(name, np.zeros((0, 0))))
        value = value.reshape(len(value), -1)[:, :size]
        if value.shape != (len(data), size):
            raise HumanDataError(
                Fault(
                    'wrong_shape',
                    f'smpl.{name}',
                    f'read_smpl needs {size} numbers per row',
                )
            )
        values[name] = value[rows].astype(np.float32)
    columns = {
        'smpl_pose': np.hstack((values['global_orient'], values['body_pose'])),
        'smpl_betas': values['betas'],
    }
    extrinsics = np.asarray(data.get('meta', {}).get('RT', ()))
    if extrinsics.shape == (len(data), 4, 4):
        columns['extrinsics'] = extrinsics[rows].astype(np.float64)
    return columns
