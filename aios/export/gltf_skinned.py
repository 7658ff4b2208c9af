# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons with a skeleton: skinned meshes and blend shapes.

Legend: ``T`` frames of a person, ``V`` vertices, ``J`` joints, ``C``
coefficients, ``K`` correctives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from aios.results import SequenceResult

from .correctives import CorrectiveBasis, SkinningFrames, rest_differences
from .expressions import arkit_shapes
from .glb import VERTEX_DATA, GLBBuilder
from .gltf_scene import GLTFScene
from .rig import PersonMotion, Rig

if TYPE_CHECKING:
    from aios.body_models import BodyModel

_CHUNK = 32  # frames computed at once
_STILL = 1e-6  # smaller changes (meters, coefficients) are not animated
_NUM_BETAS = 10


class SkinnedScene(GLTFScene):
    """Persons of a body model with skeletons and skins."""

    def __init__(
        self,
        builder: GLBBuilder,
        sequence: SequenceResult,
        rig: Rig,
        times: np.ndarray,
        names: Sequence[str],
        arkit: bool = False,
    ) -> None:
        super().__init__(builder, sequence, rig.faces, times)
        self.rig, self.names, self.arkit = rig, names, arkit
        self._bone_attributes: dict[str, int] = {}
        if len(sequence):
            self._bone_attributes = {
                'JOINTS_0': builder.accessor(rig.bones, VERTEX_DATA),
                'WEIGHTS_0': builder.accessor(rig.weights, VERTEX_DATA),
            }

    def add_person(
        self, person_id: int, basis: CorrectiveBasis | None, bar: tqdm
    ) -> None:
        """Add a person with skeleton, mesh and animation."""
        motion = PersonMotion.of(self.sequence, person_id, self.rig)
        mean = motion.mean_coefficients
        shape_ids = _moving(motion.coefficients - mean)
        # All expressions, even static ones, as users may animate them.
        shape_ids = np.union1d(shape_ids, np.arange(_NUM_BETAS, len(mean)))
        weights = (motion.coefficients - mean)[:, shape_ids]
        offsets = self.rig.bone_offsets(motion.coefficients)
        offsets = offsets.astype(np.float32)
        self._fit(motion, mean, offsets, basis, bar)
        shapes = self.rig.shapes[shape_ids].astype(np.float32)
        names = [_shape_name(i) for i in shape_ids]
        if self.arkit:
            shapes, weights, names = arkit_shapes(
                self.rig.template, shapes, weights, names
            )
        if basis is not None:
            more, more_weights = basis.shapes_and_weights()
            shapes = np.concatenate(
                [shapes, more.reshape(-1, *shapes.shape[1:])]
            )
            weights = np.concatenate([weights, more_weights], axis=1)
            names += [f'corrective_{i:03d}' for i in range(len(more))]
            self.num_correctives[person_id] = len(more)
        weights = weights.astype(np.float32)
        skeleton, bones = self._add_skeleton(motion, offsets, mean)
        mesh_node = self._add_mesh(
            person_id,
            self.rig.rest_vertices(mean).astype(np.float32),
            shapes,
            names,
            weights[0],
            **self._bone_attributes,
        )
        # A top node: the skeleton alone positions a skinned mesh.
        self.top_nodes.append(mesh_node)
        self._add_skin(mesh_node, skeleton, bones, mean, person_id)
        self._animate(motion, skeleton, bones, offsets, mesh_node, weights)

    def _fit(
        self,
        motion: PersonMotion,
        mean: np.ndarray,
        offsets: np.ndarray,
        basis: CorrectiveBasis | None,
        bar: tqdm,
    ) -> None:
        """Extend the basis by all frames, and record the largest error."""
        bind = self.rig.rest_joints(mean)
        for piece in motion.chunks(_CHUNK):
            wanted = _forward(
                self.sequence, motion.rows[piece], self.rig.layer
            )
            skinning = SkinningFrames(
                self.rig, bind, motion.rotations[piece], offsets[piece]
            )
            rest = self.rig.rest_vertices(motion.coefficients[piece])
            if basis is not None:
                rest += basis.add(rest_differences(skinning, rest, wanted))
            errors = np.linalg.norm(skinning.pose(rest) - wanted, axis=-1)
            self.max_error = max(self.max_error, float(errors.max()))
            bar.update(len(wanted))

    def _add_skeleton(
        self, motion: PersonMotion, offsets: np.ndarray, mean: np.ndarray
    ) -> tuple[int, list[int]]:
        """Add nodes of a person and its joints, in the initial pose."""
        person = self._add_person_node(
            motion.person_id,
            motion.transl[0],
            motion.frames,
            betas=mean[:_NUM_BETAS].tolist(),
        )
        bones = [
            self._node(
                name=name,
                translation=offset.tolist(),
                rotation=rotation.tolist(),
            )
            for name, offset, rotation in zip(
                self.names, offsets[0], motion.rotations[0], strict=True
            )
        ]
        for joint, parent in enumerate(self.rig.parents[1:], start=1):
            node = self.nodes[bones[parent]]
            node.setdefault('children', []).append(bones[joint])
        self.nodes[person]['children'].append(bones[0])
        return person, bones

    def _add_skin(
        self,
        mesh_node: int,
        skeleton: int,
        bones: list[int],
        mean: np.ndarray,
        person_id: int,
    ) -> None:
        inverse = np.tile(np.eye(4, dtype=np.float32), (len(bones), 1, 1))
        inverse[:, :3, 3] = -self.rig.rest_joints(mean)
        self.skins.append(
            {
                'name': f'person_{person_id}',
                'skeleton': skeleton,
                'joints': bones,
                'inverseBindMatrices': self.builder.accessor(inverse),
            }
        )
        self.nodes[mesh_node]['skin'] = len(self.skins) - 1

    def _animate(
        self,
        motion: PersonMotion,
        skeleton: int,
        bones: list[int],
        offsets: np.ndarray,
        mesh_node: int,
        weights: np.ndarray,
    ) -> None:
        add = self.builder.accessor
        keys = add(self.times[motion.frames], bounds=True)
        self._track(skeleton, 'translation', keys, motion.transl)
        self._track_presence(skeleton, motion.frames)
        for joint, bone in enumerate(bones):
            rotations = motion.rotations[:, joint]
            if np.abs(rotations - rotations[0]).max() > 0:
                self._track(bone, 'rotation', keys, rotations)
            if len(_moving(offsets[:, joint] - offsets[0, joint])):
                self._track(bone, 'translation', keys, offsets[:, joint])
        if weights.size:
            self._track(mesh_node, 'weights', keys, weights.ravel())


def _forward(
    sequence: SequenceResult, rows: np.ndarray, layer: BodyModel
) -> np.ndarray:
    """Vertices of the body model ``(T, V, 3)``, without translation."""
    from aios.body_models import BodyPoser

    parameters = sequence.parameters(rows)
    del parameters['transl']
    return BodyPoser(layer)(parameters).vertices.astype(np.float64)


def _moving(changes: np.ndarray) -> np.ndarray:
    """Columns of ``(T, n)`` that change over time."""
    return np.flatnonzero(np.abs(changes).max(axis=0) > _STILL)


def _shape_name(coefficient: int) -> str:
    kind = 'shape' if coefficient < _NUM_BETAS else 'expression'
    return f'{kind}_{coefficient % _NUM_BETAS}'
