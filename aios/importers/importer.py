# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Interface of the readers of other programs' results.

Legend: ``n`` persons of a frame.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import BodyPoser
from aios.results import SMPLX_ARGUMENTS, SequenceResult, complete_instances
from aios.structures import Camera, points_to_box
from aios.utils.safe_io import named_errors


@dataclass(frozen=True)
class ReadingOptions:
    """Information that files of other programs may lack.

    Args:
        fps: Frames per second; without it frames are separate images.
        image_size: ``(width, height)`` of the images.
        fov: Field of view across the longer side of the images, degrees.
        faces: ``.npy`` file of the ``(T, 3)`` triangles of the meshes.

    Raises:
        ValueError: If a value is out of its range.
    """

    fps: float | None = None
    image_size: tuple[int, int] | None = None
    fov: float | None = None
    faces: Path | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < np.inf:
            raise ValueError(f'fps must be positive, got {self.fps}')
        if self.image_size is not None and min(self.image_size) < 1:
            raise ValueError(
                f'image_size must be positive, got {self.image_size}'
            )
        if self.fov is not None and not 0 < self.fov < 180:
            raise ValueError(
                f'fov must be between 0 and 180 degrees, got {self.fov}'
            )
        if self.fov is not None and self.image_size is None:
            raise ValueError('fov needs image_size')

    def timing(self, number: int) -> dict[str, Any]:
        """``source_frame`` and ``timestamp`` of a frame."""
        if self.fps is None:
            return dict(source_frame=0, timestamp=0.0)
        return dict(source_frame=number, timestamp=number / self.fps)


class Importer:
    """Reader of the results of a program.

    Attributes:
        name: Its name for ``--from``.
        about: Description in one line.
        uses: Fields of :class:`ReadingOptions` that it uses.
    """

    name: str
    about: str
    uses: Collection[str] = ('fps',)

    def read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        """Read results.

        Args:
            path: The file, or a folder of them.
            poser: Poses the bodies from their parameters.
            options: Information that the files may lack.

        Returns:
            The results, and remarks for the user. ``body_model`` is empty
            if ``poser`` posed the bodies.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: If a file is damaged, unsafe or has another format;
                the message names file and field.
        """
        with named_errors(path):
            return self._read(path, poser, options)

    def _read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        """Implementation of :meth:`read`; errors need not name the file."""
        raise NotImplementedError


def posed_instances(
    poser: BodyPoser,
    pelvis: np.ndarray,
    camera: Camera,
    parameters: Mapping[str, np.ndarray],
    gender: str = 'neutral',
    **fields: Any,
) -> dict[str, np.ndarray]:
    """Pose persons with their pelvises at given positions.

    Args:
        poser: Body model.
        pelvis: ``(n, 3)`` meters, camera axes.
        camera: Projects the joints.
        parameters: Arguments of SMPL-X without ``transl``, ``(n, ...)``; hand
            poses include the mean hand. Missing arguments are zero, missing
            hands flat.
        gender: Gender of the body model.
        **fields: Other fields of the persons.

    Returns:
        All fields of :data:`aios.results.PERSON_FIELDS`.
    """
    count = len(pelvis)
    given: dict[str, Any] = {
        name: np.zeros((count, size), np.float32)
        for name, size in SMPLX_ARGUMENTS.items()
    }
    given |= parameters
    mean = np.asarray(poser.layer(gender).hand_mean).reshape(2, 45)
    given['left_hand_pose'] = given['left_hand_pose'] - mean[0]
    given['right_hand_pose'] = given['right_hand_pose'] - mean[1]
    joints = poser(given, gender, return_vertices=False).joints
    given['transl'] = pelvis - joints[:, 0]
    joints = joints + given['transl'][:, None]
    pixels = camera.project(joints)
    # Pixels of joints behind the camera are mirrored.
    boxes, _ = points_to_box(pixels, joints[..., 2] > 0)
    fields.setdefault('bboxes', boxes)
    return complete_instances(
        **given, joints3d=joints, joints2d=pixels, **fields
    )
