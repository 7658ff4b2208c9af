# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies of persons from their parameters, as NumPy arrays.

Legend: ``n`` persons, ``J`` joints, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aios.structures import GENDER_NAMES, POSE_ROWS

from .files import GENDERS
from .protocol import BodyModel

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 128  # persons posed at once; bounds the memory


class PosedBodies(NamedTuple):
    """Posed bodies, in the dtype of the body model.

    Attributes:
        joints: ``(n, J, 3)`` meters.
        vertices: ``(n, V, 3)`` meters, or None if not requested.
    """

    joints: np.ndarray
    vertices: Any


class BodyPoser:
    """Poses persons, each with the body model of their gender.

    Args:
        body_model: Config of a layer such as
            :class:`~aios.body_models.SMPLXLayer`, or a layer. A config is
            built once per gender, on first use. A layer, or a config with
            ``gender``, is used for all persons.
    """

    def __init__(
        self, body_model: Mapping[str, Any] | BodyModel | nn.Module
    ) -> None:
        self._body_model = body_model
        self._is_shared = (
            not isinstance(body_model, Mapping) or 'gender' in body_model
        )
        self._layers: dict[str, Any] = {}

    def layer(self, gender: str = 'neutral') -> Any:
        """The body model of a gender, in evaluation mode.

        Raises:
            MissingBodyModelError: If its file is missing.
        """
        if not isinstance(self._body_model, Mapping):
            return self._body_model
        config = {'gender': gender} | dict(self._body_model)
        name = config['gender']
        if name not in self._layers:
            from aios.registry import MODELS

            self._layers[name] = MODELS.build(config).eval()
        return self._layers[name]

    @property
    def faces(self) -> np.ndarray:
        """``(F, 3)`` corners of triangles, the same for all genders."""
        layer = next(iter(self._layers.values()), None) or self.layer()
        return _as_array(layer.faces)

    def __call__(
        self,
        parameters: Mapping[str, Any],
        genders: str | Sequence[str] | np.ndarray = 'neutral',
        **options: Any,
    ) -> PosedBodies:
        """Pose persons.

        Args:
            parameters: Arguments of the layer, ``(n, ...)``, arrays or
                tensors on any device.
            genders: One for all, or ``n`` names, or ``(n,)`` numbers of
                :data:`aios.structures.GENDER_NAMES`.
            **options: Other arguments of the layer, e.g. ``joint_set`` or
                ``return_vertices=False``.

        Raises:
            MissingBodyModelError: If a file of the body model is missing.
            ValueError: If the arguments do not have the same number of rows,
                or a gender is unknown.
        """
        counts = {name: len(value) for name, value in parameters.items()}
        count = next(iter(counts.values()))
        names = _gender_names(genders, count)
        if {*counts.values(), len(names)} != {count}:
            raise ValueError(
                'parameters and genders must have the same number of rows, '
                f'got {counts} and {len(names)} genders'
            )
        if self._is_shared:
            names = np.full(count, 'neutral')
        chunks = [
            (gender, rows)
            for gender in sorted(set(names.tolist())) or ['neutral']
            for index in [np.flatnonzero(names == gender)]
            for rows in np.split(index, range(_CHUNK, len(index), _CHUNK))
        ]
        bodies = [
            self._pose(
                self.layer(gender),
                {name: value[rows] for name, value in parameters.items()},
                options,
            )
            for gender, rows in chunks
        ]
        joints, vertices = zip(*bodies, strict=True)
        order = np.argsort(np.concatenate([rows for _, rows in chunks]))
        return PosedBodies(
            np.concatenate(joints)[order],
            None if vertices[0] is None else np.concatenate(vertices)[order],
        )

    @staticmethod
    def _pose(
        layer: Any, parameters: dict[str, Any], options: dict[str, Any]
    ) -> PosedBodies:
        if isinstance(layer.v_template, np.ndarray):
            body = layer(**parameters, **options)
            return PosedBodies(body.joints, body.vertices)
        import torch

        like = torch.as_tensor(layer.v_template)
        tensors = {
            name: torch.as_tensor(value).to(like)
            for name, value in parameters.items()
        }
        with torch.no_grad():
            body = layer(**tensors, **options)
        vertices = None if body.vertices is None else _as_array(body.vertices)
        return PosedBodies(_as_array(body.joints), vertices)


def _as_array(value: Any) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else value.cpu().numpy()


def _gender_names(
    genders: str | Sequence[str] | np.ndarray, count: int
) -> np.ndarray:
    """``(n,)`` names."""
    if isinstance(genders, str):
        return np.full(count, genders)
    given = np.asarray(genders).tolist()
    names = [GENDER_NAMES.get(gender, gender) for gender in given]
    unknown = [name for name in names if name not in GENDERS]
    if unknown:
        raise ValueError(
            f'gender must be one of {dict(GENDER_NAMES)}, got {unknown[0]}'
        )
    return np.array(names, np.str_)


def ground_truth_parameters(
    persons: Any,
    index: np.ndarray,
    vectors: Sequence[str] = ('betas', 'expression'),
) -> dict[str, Any]:
    """Arguments of an SMPL-X layer from fields of ground truth.

    Args:
        persons: Fields of :data:`aios.structures.GT_FIELDS`, arrays or
            tensors: ``smplx_pose`` and any of the others.
        index: ``(n,)`` indices of persons.
        vectors: Arguments besides the pose; their fields start with
            ``smplx_``.
    """
    pose = persons['smplx_pose'][index]
    poses = {name: pose[:, rows] for name, rows in POSE_ROWS.items()}
    return poses | {
        name: persons[f'smplx_{name}'][index]
        for name in vectors
        if f'smplx_{name}' in persons
    }
