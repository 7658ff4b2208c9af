# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons of a video or a set of images: the file ``params.npz``.

Symbols are those of :mod:`aios.results.schema`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aios.utils.choices import check_choice
from aios.utils.safe_io import load_npz, save_npz
from aios.version import __version__

from .frame import FrameResult, check_frames, frame_arrays
from .schema import (
    FORMAT_VERSION,
    FRAME_FIELDS,
    MESH_BODIES,
    PERSON_FIELDS,
    SMPLX_ARGUMENTS,
    Field,
    as_field,
    check_instances,
    complete_instances,
)

if TYPE_CHECKING:
    import torch

_FIXED = {
    'flat_hand_mean': False,
    'units': 'm',
    'axes': 'opencv',
    'format_version': FORMAT_VERSION,
}
_TEXTS = ('source', 'gender', 'body_model', 'model', 'aios_version')
_OPTIONAL = ('floor', 'faces')
_GENDERS = ('neutral', 'male', 'female')


@dataclass(frozen=True, eq=False)
class SequenceResult:
    """Persons of all frames of a video, or of a set of images.

    Rows are sorted by frame.  All arrays are checked and converted to the
    types of the tables in :mod:`aios.results.schema`, which define their
    contents.

    Args:
        frame_index: ``(N,)`` frame of each person, 0 to F - 1.
        person_id: ``(N,)``. No two rows of a frame have the same.
        scores: ``(N,)``.
        bboxes: ``(N, 4)``, as the other boxes.
        lhand_bboxes: Left hands.
        rhand_bboxes: Right hands.
        face_bboxes: Faces.
        global_orient: ``(N, 3)``.
        body_pose: ``(N, 63)``.
        left_hand_pose: ``(N, 45)`` relative to the mean hand.
        right_hand_pose: ``(N, 45)`` relative to the mean hand.
        jaw_pose: ``(N, 3)``.
        leye_pose: ``(N, 3)``.
        reye_pose: ``(N, 3)``.
        betas: ``(N, 10)``.
        expression: ``(N, 10)``.
        transl: ``(N, 3)``.
        joints3d: ``(N, 144, 3)`` with the translation.
        joints2d: ``(N, 144, 2)``.
        frame_names: ``(F,)``.
        source_frames: ``(F,)``.
        timestamps: ``(F,)``.
        K: ``(F, 3, 3)``.
        image_sizes: ``(F, 2)``.
        camera_origin: ``(F,)``; None for ``'unknown'``.
        focal_std: ``(F,)``; None for NaN.
        vertices: ``(N, V, 3)`` with the translation, or None.
        keypoints: ``(N, 17, 2)``, or None.
        appearance: ``(N, 3, 64)``, or None; see
            :func:`aios.tracking.with_appearance`.
        floor: ``(4,)``, or None if unknown: unit vector against gravity and
            height of the camera in meters, so that ``floor[:3] @ x +
            floor[3]`` is the height of ``x`` over the floor.
        faces: ``(T, 3)`` triangles of ``vertices``, or None: those of
            SMPL-X. Only for bodies of :data:`~aios.results.MESH_BODIES`.
        fps: Frames per second of ``source``; 0 for images.
        source: Name of the video or the folder.
        gender: Gender of the body model.
        body_model: Name of the body model.
        model: Name of the network.
        aios_version: Version of this package that made the results.
        flat_hand_mean: Always False.
        units: Always ``'m'``.
        axes: Always ``'opencv'``.
        format_version: Always :data:`~aios.results.FORMAT_VERSION`.

    Raises:
        ValueError: If a value is not as described.
    """

    frame_index: np.ndarray
    person_id: np.ndarray
    scores: np.ndarray
    bboxes: np.ndarray
    lhand_bboxes: np.ndarray
    rhand_bboxes: np.ndarray
    face_bboxes: np.ndarray
    global_orient: np.ndarray
    body_pose: np.ndarray
    left_hand_pose: np.ndarray
    right_hand_pose: np.ndarray
    jaw_pose: np.ndarray
    leye_pose: np.ndarray
    reye_pose: np.ndarray
    betas: np.ndarray
    expression: np.ndarray
    transl: np.ndarray
    joints3d: np.ndarray
    joints2d: np.ndarray
    frame_names: np.ndarray
    source_frames: np.ndarray
    timestamps: np.ndarray
    K: np.ndarray
    image_sizes: np.ndarray
    camera_origin: np.ndarray | None = None
    focal_std: np.ndarray | None = None
    vertices: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    appearance: np.ndarray | None = None
    floor: np.ndarray | None = None
    faces: np.ndarray | None = None
    fps: float = 0.0
    source: str = ''
    gender: str = 'neutral'
    body_model: str = ''
    model: str = ''
    aios_version: str = __version__
    flat_hand_mean: bool = False
    units: str = 'm'
    axes: str = 'opencv'
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        self._check_metadata()
        whole = PERSON_FIELDS['person_id']
        count = len(np.atleast_1d(self.frame_index))
        index = as_field('frame_index', whole, self.frame_index, count)
        num_frames = len(np.atleast_1d(self.frame_names))
        checked = {
            'frame_index': index,
            **check_instances(
                {f: getattr(self, f) for f in PERSON_FIELDS}, count
            ),
            **check_frames(
                {f: getattr(self, f) for f in FRAME_FIELDS}, num_frames
            ),
        }
        _check_rows(index, checked['person_id'], num_frames)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.floor is not None:
            object.__setattr__(self, 'floor', _as_floor(self.floor))
        if self.faces is not None:
            faces = self._checked_faces(self.faces)
            object.__setattr__(self, 'faces', faces)

    def _checked_faces(self, given: Any) -> np.ndarray:
        """Triangles whose indices lie in the range of the vertices."""
        count = len(np.atleast_1d(given))
        faces = as_field('faces', Field((3,), np.int64, ''), given, count)
        size = 0 if self.vertices is None else self.vertices.shape[1]
        if self.has_parameters:
            raise ValueError(
                f'faces are given by the body model {self.body_model!r} and '
                'must be omitted'
            )
        low, high = faces.min(initial=0), faces.max(initial=0)
        if low < 0 or (self.vertices is not None and high >= size):
            raise ValueError(
                f'faces must be vertex indices in 0..{size - 1}, got {low} '
                f'to {high}'
            )
        return faces

    def _check_metadata(self) -> None:
        for name, wanted in _FIXED.items():
            if getattr(self, name) != wanted:
                raise ValueError(
                    f'{name} must be {wanted!r}, got {getattr(self, name)!r}'
                )
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str):
                raise ValueError(
                    f'{name} must be text, got {getattr(self, name)!r}'
                )
        check_choice('gender', self.gender, _GENDERS)
        is_number = isinstance(self.fps, (int, float, np.number))
        if not (is_number and 0 <= self.fps < np.inf):
            raise ValueError(
                f'fps must be a finite number, not negative, got {self.fps!r}'
            )

    def __len__(self) -> int:
        """Number of persons of all frames."""
        return len(self.frame_index)

    @property
    def num_frames(self) -> int:
        """Number of frames, with and without persons."""
        return len(self.frame_names)

    @property
    def are_images(self) -> bool:
        """Whether the same id in two frames may be two persons."""
        return self.num_frames > 1 and not self.timestamps.any()

    @property
    def has_parameters(self) -> bool:
        """Whether SMPL-X parameters describe the bodies."""
        return self.body_model not in MESH_BODIES

    def check_parameters(self) -> None:
        """Reject bodies without SMPL-X parameters.

        Raises:
            ValueError: If :attr:`has_parameters` is False.
        """
        if not self.has_parameters:
            raise ValueError(
                'this needs SMPL-X parameters, but bodies of the model '
                f'{self.body_model!r} have joints and vertices only'
            )

    @property
    def person_ids(self) -> np.ndarray:
        """Different ids, ascending, int64."""
        return np.unique(self.person_id)

    @classmethod
    def from_frames(
        cls, frames: Iterable[FrameResult], **metadata: Any
    ) -> SequenceResult:
        """Concatenate frames in the given order.

        Args:
            frames: May be empty.
            **metadata: ``fps``, ``source``, ``gender``, ``body_model``,
                ``model``, ``aios_version``, ``floor`` and ``faces``; see
                :attr:`metadata`.

        Raises:
            ValueError: If only some of the frames with persons have an
                optional field, or meshes differ in size.
        """
        frames = list(frames)
        full = [frame for frame in frames if len(frame)]
        instances: dict[str, Any] = dict(complete_instances())
        for name, field in PERSON_FIELDS.items():
            having = [frame for frame in full if name in frame.instances]
            if len(having) < len(full) and (having or not field.optional):
                bad = next(f for f in full if name not in f.instances)
                raise ValueError(
                    f'frame {bad.name!r} has no field {name!r}, but other '
                    'frames do'
                )
            if having:
                rows = [frame.instances[name] for frame in having]
                shapes = {row.shape[1:] for row in rows}
                if len(shapes) > 1:
                    raise ValueError(
                        f'{name} must have the same size in all frames, got '
                        f'{sorted(shapes)}'
                    )
                instances[name] = np.concatenate(rows)
        counts = [len(frame) for frame in frames]
        return cls(
            frame_index=np.repeat(np.arange(len(frames)), counts),
            **instances,
            **(frame_arrays(frames) | metadata),
        )

    def times(self, fps: float | None = None) -> np.ndarray:
        """Seconds from the first frame, ``(F,)`` float32, ascending.

        Args:
            fps: Frame rate if timestamps do not ascend, as for images, and
                the sequence has no frame rate; default 1.

        Raises:
            ValueError: If ``fps`` is not positive.
        """
        if fps is not None and not 0 < fps < np.inf:
            raise ValueError(f'fps must be positive and finite, got {fps}')
        times = (self.timestamps - self.timestamps[:1]).astype(np.float32)
        if (np.diff(times) > 0).all():
            return times
        times = np.arange(self.num_frames) / (self.fps or fps or 1.0)
        return times.astype(np.float32)

    def rows(self, frame: int) -> slice:
        """Rows of the persons of a frame."""
        if not 0 <= frame < self.num_frames:
            raise IndexError(
                f'frame {frame} is not in 0..{self.num_frames - 1}'
            )
        first, last = np.searchsorted(self.frame_index, [frame, frame + 1])
        return slice(int(first), int(last))

    def frame(self, frame: int) -> FrameResult:
        """A frame as given to :meth:`from_frames`."""
        instances = self._instances(self.rows(frame))
        columns = (getattr(self, name)[frame] for name in FRAME_FIELDS)
        name, number, seconds, K, size, origin, std = columns
        return FrameResult(
            str(name),
            int(number),
            float(seconds),
            K,
            size,
            instances,
            str(origin),
            float(std),
        )

    def frames(self) -> Iterator[FrameResult]:
        """All frames in order, also those without persons."""
        return map(self.frame, range(self.num_frames))

    def select(self, rows: np.ndarray | slice) -> SequenceResult:
        """Select rows; all frames are kept.

        Args:
            rows: Mask ``(N,)`` bool, or ascending indices.
        """
        index = np.arange(len(self))[rows]
        changed: dict[str, Any] = self._instances(index)
        return replace(self, frame_index=self.frame_index[index], **changed)

    def select_frames(self, frames: np.ndarray | slice) -> SequenceResult:
        """Select frames with all their persons.

        Args:
            frames: Mask ``(F,)`` bool, or ascending indices.

        Raises:
            ValueError: If indices do not ascend.
        """
        kept = np.arange(self.num_frames)[frames]
        if (np.diff(kept) <= 0).any():
            raise ValueError(f'frames must ascend, got {kept.tolist()}')
        rows = np.isin(self.frame_index, kept)
        changed: dict[str, Any] = self._instances(rows)
        changed |= {name: getattr(self, name)[kept] for name in FRAME_FIELDS}
        index = np.searchsorted(kept, self.frame_index[rows])
        return replace(self, frame_index=index, **changed)

    def smplx_parameters(
        self, rows: np.ndarray | slice = slice(None)
    ) -> dict[str, torch.Tensor]:
        """Keyword arguments of :class:`aios.body_models.SMPLXLayer`.

        The ``smplx`` package takes the same arguments, with ``use_pca=False``
        and ``flat_hand_mean=False``.

        Args:
            rows: Mask, indices or slice; all by default.

        Returns:
            Copies, float32.
        """
        import torch

        return {
            name: torch.tensor(value)
            for name, value in self.parameters(rows).items()
        }

    def parameters(
        self, rows: np.ndarray | slice = slice(None)
    ) -> dict[str, np.ndarray]:
        """Arguments of a body model as arrays.

        Args:
            rows: Mask, indices or slice; all by default.
        """
        return {name: getattr(self, name)[rows] for name in SMPLX_ARGUMENTS}

    @property
    def metadata(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`from_frames`."""
        names = ('fps', *_TEXTS, 'floor', 'faces')
        return {name: getattr(self, name) for name in names}

    @property
    def arrays(self) -> dict[str, Any]:
        """Contents of the file by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: value for n, value in values.items() if value is not None}

    def save(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write an ``.npz`` file that appears only when complete.

        Args:
            path: The file. Missing folders are made.
            overwrite: Replace an existing file.

        Raises:
            FileExistsError: If the file exists and ``overwrite`` is False.
        """
        save_npz(path, self.arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike) -> SequenceResult:
        """Read a file of :meth:`save`.  Unknown arrays are ignored.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, holds Python objects, or a
                field is invalid; the message names file and field.
        """
        known = {field.name: field for field in fields(cls)}
        arrays: dict[str, Any] = load_npz(path, keys=known)
        _check_version(path, arrays)
        for name in known:
            field = PERSON_FIELDS.get(name) or FRAME_FIELDS.get(name)
            optional = name in _OPTIONAL
            if field is not None:
                optional = field.optional or field.unknown is not None
            if name not in arrays and not optional:
                raise ValueError(f'{path}: array {name!r} is missing')
        for name in (*_TEXTS, *_FIXED, 'fps'):
            if arrays[name].ndim:
                raise ValueError(
                    f'{path}: {name} must be one value, got shape '
                    f'{arrays[name].shape}'
                )
            arrays[name] = arrays[name].item()
        try:
            return cls(**arrays)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {error}') from error

    def _instances(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        values = {name: getattr(self, name) for name in PERSON_FIELDS}
        return {n: v[rows] for n, v in values.items() if v is not None}


def _as_floor(value: Any) -> np.ndarray:
    floor = as_field('floor', Field((), np.float64, ''), value, 4)
    length = float(np.linalg.norm(floor[:3]))
    if abs(length - 1) > 1e-3:
        raise ValueError(
            f'floor must begin with a unit vector, got one of length {length}'
        )
    return floor


def _check_version(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray]
) -> None:
    version = arrays.get('format_version')
    if version is None:
        raise ValueError(
            f'{path}: not a results file, it has no format_version'
        )
    if version.size != 1 or version.item() != FORMAT_VERSION:
        raise ValueError(
            f'{path}: has format_version {version.tolist()}, this version of '
            f'aios ({__version__}) reads {FORMAT_VERSION}'
        )


def _check_rows(
    frame_index: np.ndarray, person_id: np.ndarray, num_frames: int
) -> None:
    if not len(frame_index):
        return
    if (np.diff(frame_index) < 0).any():
        row = int(np.flatnonzero(np.diff(frame_index) < 0)[0]) + 1
        raise ValueError(
            f'frame_index must ascend; row {row} has frame '
            f'{frame_index[row]} after frame {frame_index[row - 1]}'
        )
    if frame_index[0] < 0 or frame_index[-1] >= num_frames:
        raise ValueError(
            f'frame_index must be in 0..{num_frames - 1}, got '
            f'{frame_index[0]} to {frame_index[-1]}'
        )
    order = np.lexsort((person_id, frame_index))
    pairs = np.stack([frame_index, person_id], axis=1)[order]
    same = (pairs[1:] == pairs[:-1]).all(1)
    if same.any():
        frame, person = pairs[np.flatnonzero(same)[0]].tolist()
        raise ValueError(f'person_id {person} occurs twice in frame {frame}')
