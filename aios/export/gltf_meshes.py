# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons without a skeleton: meshes animated by blend shapes.

Legend: ``T`` frames of a person, ``V`` vertices.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from aios.results import SequenceResult
from aios.structures import PELVIS

from .correctives import CorrectiveBasis
from .glb import GLBBuilder
from .gltf_scene import GLTFScene
from .meshes import given_meshes

_CHUNK = 32  # frames computed at once


class MeshScene(GLTFScene):
    """Meshes of results, animated by a small basis of blend shapes.

    Raises:
        ValueError: If the results have no meshes.
    """

    def __init__(
        self,
        builder: GLBBuilder,
        sequence: SequenceResult,
        times: np.ndarray,
    ) -> None:
        self._vertices, faces = given_meshes(sequence)
        super().__init__(builder, sequence, faces, times)

    def add_person(  # noqa: D102
        self, person_id: int, basis: CorrectiveBasis | None, bar: tqdm
    ) -> None:
        if basis is None:
            raise ValueError(
                'without a skeleton bodies are animated by blend shapes, so '
                "correctives must be 'exact'"
            )
        rows = np.flatnonzero(self.sequence.person_id == person_id)
        frames = self.sequence.frame_index[rows]
        places = self.sequence.joints3d[rows, PELVIS]
        first = self._vertices[rows[0]] - places[0]
        for start in range(0, len(rows), _CHUNK):
            piece = slice(start, start + _CHUNK)
            moved = self._vertices[rows[piece]] - places[piece, None]
            change = (moved - first).astype(np.float64)
            errors = np.linalg.norm(basis.add(change) - change, axis=-1)
            self.max_error = max(self.max_error, float(errors.max()))
            bar.update(len(change))
        shapes, weights = basis.shapes_and_weights()
        self.num_correctives[person_id] = len(shapes)
        names = [f'motion_{number:03d}' for number in range(len(shapes))]
        person = self._add_person_node(person_id, places[0], frames)
        mesh = self._add_mesh(person_id, first, shapes, names, weights[0])
        self.nodes[person]['children'].append(mesh)
        keys = self.builder.accessor(self.times[frames], bounds=True)
        self._track(person, 'translation', keys, places)
        self._track_presence(person, frames)
        if len(shapes):
            values = weights.astype(np.float32).ravel()
            self._track(mesh, 'weights', keys, values)
