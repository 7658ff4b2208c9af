# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Joints and vertices of submitted bodies, and vertices of body parts.

Symbols: ``M`` persons, ``V`` = 10475 vertices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import (
    BodyPoser,
    MissingBodyModelError,
    SMPLXLayer,
    find_body_model,
    load_vertex_ids,
)
from aios.utils.safe_io import load_npy

from .layout import NUM_JOINTS_3D, PARAMETERS

NUM_BODY_VERTICES = 4010
"""Length of the official list of body vertices."""

_FILE = 'body_verts_smplx.npy'
_NUM_VERTICES = 10475


def load_part_vertices(
    model_path: str | os.PathLike | None = None,
    body_vertices: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Vertices of body, hands and face.

    Args:
        model_path: Where ``MANO_SMPLX_vertex_ids.pkl`` and
            ``SMPL-X__FLAME_vertex_ids.npy`` are; see
            :func:`aios.body_models.find_body_model`.
        body_vertices: ``body_verts_smplx.npy`` of AGORA's tool; default:
            beside the others.  ``'complement'``: all vertices that belong
            neither to a hand nor to the face.  Body errors over that set
            differ from official ones.

    Returns:
        Ids ``(K,)`` int64 of ``body``, ``lhand``, ``rhand``, ``face``.

    Raises:
        MissingBodyModelError: If a file is missing.
        ValueError: If the list of the body is not 4010 vertex ids.
    """
    ids = load_vertex_ids(model_path)
    parts = {
        'lhand': ids['left_hand'],
        'rhand': ids['right_hand'],
        'face': ids['face'],
    }
    if body_vertices == 'complement':
        taken = np.concatenate(list(parts.values()))
        body = np.setdiff1d(np.arange(_NUM_VERTICES), taken)
    else:
        body = _official_body(model_path, body_vertices)
    return {'body': body, **parts}


def _official_body(
    model_path: str | os.PathLike | None,
    body_vertices: str | os.PathLike | None,
) -> np.ndarray:
    folder = find_body_model(model_path).parent
    places = [folder / _FILE, folder.parent / _FILE]
    if body_vertices is not None:
        places = [Path(body_vertices)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise MissingBodyModelError(
            f'{_FILE} not found. Searched {", ".join(map(str, places))}. It '
            "is part of AGORA's evaluation tool "
            '(https://github.com/pixelite1201/agora_evaluation). Without it '
            "use body_vertices='complement', all vertices except hands and "
            'face; body errors then differ from the official ones'
        )
    body = load_npy(path).ravel()
    if (
        body.dtype.kind not in 'iu'
        or len(np.unique(body)) != NUM_BODY_VERTICES
        or not 0 <= body.min() <= body.max() < _NUM_VERTICES
    ):
        raise ValueError(
            f'{path}: must contain {NUM_BODY_VERTICES} distinct vertex ids '
            f'below {_NUM_VERTICES}, got {body.dtype} {body.shape}'
        )
    return body.astype(np.int64)


class SubmittedBodies:
    """Poses submitted parameters as the server does.

    Args:
        model_path: Where the body models are.
        kid_template: ``smplx_kid_template.npy``, for persons submitted with
            ``kid_flag``.
    """

    def __init__(
        self,
        model_path: str | None = None,
        kid_template: str | None = None,
    ) -> None:
        self.model_path = model_path
        self.kid_template = kid_template

    def __call__(
        self, persons: Sequence[Mapping[str, Any]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints and vertices of persons.

        Args:
            persons: Contents of files, see
                :func:`~aios.evaluation.agora.layout.check_person`.

        Returns:
            Joints ``(M, 127, 3)`` and vertices ``(M, V, 3)``, float64
            meters.

        Raises:
            ValueError: If a child comes without ``kid_template``.
        """
        joints = np.empty((len(persons), NUM_JOINTS_3D, 3))
        vertices = np.empty((len(persons), _NUM_VERTICES, 3))
        groups: dict[tuple, list[int]] = {}
        for row, person in enumerate(persons):
            if 'verts' in person:
                # Both may have a leading axis of one.
                points = person['allSmplJoints3d'].reshape(-1, 3)
                joints[row] = points[:NUM_JOINTS_3D]
                vertices[row] = person['verts'].reshape(-1, 3)
            else:
                groups.setdefault(_kind(person), []).append(row)
        for (gender, kid, count, rotates), rows in groups.items():
            path, gender = self._model(gender, kid)
            body = _poser(path, count)(
                _parameters([persons[r]['params'] for r in rows], rotates),
                gender,
            )
            joints[rows] = body.joints[:, :NUM_JOINTS_3D]
            vertices[rows] = body.vertices
        return joints, vertices

    def _model(self, gender: str, kid: bool) -> tuple[str | None, str]:
        """Path and gender of the model that poses a person."""
        if not kid:
            return self.model_path, gender
        if self.kid_template is None:
            raise ValueError(
                'a submitted person has kid_flag; set kid_template to '
                'smplx_kid_template.npy (https://agora.is.tue.mpg.de)'
            )
        from aios.datasets.converters.bodies import kid_gender, kid_model

        gender = kid_gender(gender)
        path = kid_model(self.model_path, gender, self.kid_template)
        return path, gender


def _kind(person: Mapping[str, Any]) -> tuple[str, bool, int, bool]:
    """Persons of equal kind are posed as one batch."""
    return (
        person.get('gender', 'neutral'),
        person.get('kid_flag', False),
        np.shape(person['params']['betas'])[-1],
        person.get('pose2rot', True),
    )


@lru_cache(maxsize=8)
def _poser(model_path: str | None, num_betas: int) -> BodyPoser:
    return BodyPoser(
        dict(type=SMPLXLayer, model_path=model_path, num_betas=num_betas)
    )


def _parameters(
    params: Sequence[Mapping[str, Any]], rotates: bool
) -> dict[str, np.ndarray]:
    """Arguments of the layer for persons of equal kind."""
    arguments = {}
    for name, triples in PARAMETERS.items():
        value = np.concatenate([p[name] for p in params]).astype(np.float32)
        if triples and name != 'transl':
            value = value.reshape(len(params), -1, 3)
            if not rotates:
                value = value.reshape(len(params), -1, 3, 3)
        arguments[name] = value
    return arguments
