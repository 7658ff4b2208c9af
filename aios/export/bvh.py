# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The motion of one person as a BVH file.

Legend: ``T`` frames of the file, ``J`` joints.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.results import SequenceResult
from aios.utils.safe_io import atomic_write

from .armatures import ARMATURE_OPTION, bone_names
from .exporter import FPS_OPTION, Exporter
from .motion import WorldMotion
from .rig import Rig

if TYPE_CHECKING:
    from aios.body_models import BodyModel

_ORDER = 'ZXY'  # intrinsic, and the order of the channels
_FPS = 1.0  # default for images
_TIP = 0.5  # length of a leaf bone, relative to its offset


def write_bvh(
    sequence: SequenceResult,
    layer: BodyModel,
    path: str | os.PathLike,
    person_id: int,
    *,
    scale: float = 1.0,
    fps: float | None = None,
    armature: str = 'smplx',
    overwrite: bool = False,
) -> int:
    """Write a person's skeleton and motion.

    The y axis points up: if the results have a floor, it is at y = 0 and the
    camera is above the origin; otherwise the camera is level and at the
    origin.  Bones have the lengths of the person's mean shape.
    Frames are evenly spaced from the first to the last frame of the person;
    missing poses are interpolated, and all if the frame rate changes.

    Args:
        sequence: The results.
        layer: Their body model.
        path: The ``.bvh`` file. Missing folders are made.
        person_id: Id of the person.
        scale: Units per meter, 100 for centimeters.
        fps: Frames per second if the sequence has none; default 1.
        armature: Bone names, a key of :data:`aios.export.ARMATURES`.
        overwrite: Replace an existing file.

    Returns:
        Number of missing frames.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If no person has this id, bodies have no SMPL-X
            parameters, an argument is not allowed, or the frames span too
            long a time.
    """
    sequence.check_parameters()
    if not 0 < scale < np.inf:
        raise ValueError(f'scale must be positive and finite, got {scale}')
    names = bone_names(armature)
    rig = Rig.of(layer)
    motion = WorldMotion.of(
        sequence, rig, person_id, _FPS if fps is None else fps, up='y'
    )
    offsets = scale * rig.bone_offsets(motion.source.mean_coefficients)
    angles = _euler([motion.rotations[j] for j in _depth_first(rig.parents)])
    values = np.concatenate(
        [scale * motion.pelvis, angles.reshape(len(angles), -1)], axis=1
    )
    text = ['HIERARCHY', *_hierarchy(0, names, rig.parents, offsets)]
    text += [
        'MOTION',
        f'Frames: {len(values)}',
        f'Frame Time: {1 / motion.time.rate:.8f}',
    ]
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(('\n'.join(text) + '\n').encode('ascii'))
        np.savetxt(stream, values, fmt='%.6f')
    return int(motion.time.missing.sum())


def _euler(rotations: Sequence[Rotation]) -> np.ndarray:
    """Euler angles ``(T, J, 3)`` in degrees, continuous over time.

    Two triples describe a rotation.  Other programs interpolate them, so each
    is the one closer to that of the frame before, and the first is the
    smaller one: a knee bends through 90 degrees without turning around.

    Args:
        rotations: ``J`` times ``T``.
    """
    with warnings.catch_warnings():
        # In gimbal lock any solution is correct.
        warnings.simplefilter('ignore', UserWarning)
        angles = [r.as_euler(_ORDER, degrees=True) for r in rotations]
    first = np.stack(angles, axis=1)
    pairs = np.stack([first, first * (1, -1, 1) + 180], axis=-2)
    before = np.zeros(first.shape[1:])
    for frame, pair in enumerate(pairs):
        pair -= 360 * np.rint((pair - before[:, None]) / 360)
        nearer = np.abs(pair - before[:, None]).sum(-1).argmin(-1)
        first[frame] = before = pair[np.arange(len(pair)), nearer]
    return first


def _children(joint: int, parents: np.ndarray) -> list[int]:
    return np.flatnonzero(parents == joint).tolist()


def _depth_first(parents: np.ndarray, joint: int = 0) -> Iterator[int]:
    yield joint
    for child in _children(joint, parents):
        yield from _depth_first(parents, child)


def _hierarchy(
    joint: int,
    names: Sequence[str],
    parents: np.ndarray,
    offsets: np.ndarray,
    depth: int = 0,
) -> Iterator[str]:
    """Lines of a joint and its descendants."""
    indent, inner = '  ' * depth, '  ' * (depth + 1)
    rotations = ' '.join(f'{axis}rotation' for axis in _ORDER)
    if joint:
        yield f'{indent}JOINT {names[joint]}'
        offset, channels = offsets[joint], f'3 {rotations}'
    else:  # the motion holds its position
        yield f'{indent}ROOT {names[joint]}'
        offset = np.zeros(3)
        channels = f'6 Xposition Yposition Zposition {rotations}'
    yield f'{indent}{{'
    yield f'{inner}OFFSET {_numbers(offset)}'
    yield f'{inner}CHANNELS {channels}'
    children = _children(joint, parents)
    for child in children:
        yield from _hierarchy(child, names, parents, offsets, depth + 1)
    if not children:
        yield f'{inner}End Site'
        yield f'{inner}{{'
        yield f'{inner}  OFFSET {_numbers(_TIP * offset)}'
        yield f'{inner}}}'
    yield f'{indent}}}'


def _numbers(vector: np.ndarray) -> str:
    return ' '.join(f'{value:.6f}' for value in vector)


class BVHExporter(Exporter):
    """Skeletons."""

    name, suffix = 'bvh', '.bvh'
    per = 'person'
    about = 'skeleton and motion, a file per person'
    product = 'bvh/person{person}.bvh'
    flag, flag_help = '--save-bvh', 'bvh/personK.bvh'
    options = (
        ARMATURE_OPTION
        | FPS_OPTION
        | {
            '--scale': dict(
                type=float,
                default=1.0,
                help='units per meter, such as 100 for centimeters',
            )
        }
    )

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> str | None:
        options.pop('progress', None)
        person = int(sequence.person_ids[0])
        count = write_bvh(sequence, layer, path, person, **options)
        remarks = []
        if first := int(sequence.frame_index[0]):
            seconds = sequence.times(options.get('fps'))[first]
            remarks.append(
                f'begins with frame {first} of the results, {seconds:.3f} s '
                'later than the first'
            )
        if count:
            remarks.append(f'{count} missing frames are interpolated')
        return f'{path.name}: {"; ".join(remarks)}' if remarks else None
