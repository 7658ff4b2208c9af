# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Nodes, meshes, skins and the animation of a glTF file of persons.

Legend: ``T`` frames of a person, ``V`` vertices, ``J`` joints, ``C``
coefficients, ``K`` correctives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from aios.results import SequenceResult, instance_color
from aios.structures import vertex_normals
from aios.version import __version__

from .correctives import CorrectiveBasis, SkinningFrames, rest_differences
from .glb import VERTEX_DATA, VERTEX_INDEX, GLBBuilder
from .rig import JOINT_NAMES, PersonMotion, Rig

if TYPE_CHECKING:
    from aios.body_models import BodyModel

__all__ = ['GLTFScene']

_CHUNK = 32  # frames that are computed at once
_STILL = 1e-6  # changes below it (metres, coefficients) are not animated
_HALF_TURN = [1.0, 0.0, 0.0, 0.0]  # about x: OpenCV's axes to glTF's
_NUM_BETAS = 10


class GLTFScene:
    """Nodes, meshes, skins and one animation, person by person."""

    def __init__(
        self,
        builder: GLBBuilder,
        sequence: SequenceResult,
        rig: Rig,
        times: np.ndarray,
    ) -> None:
        self.builder, self.sequence, self.rig = builder, sequence, rig
        self.times = times
        self.nodes: list[dict] = []
        self.meshes: list[dict] = []
        self.skins: list[dict] = []
        self.materials: list[dict] = []
        self.channels: list[dict] = []
        self.samplers: list[dict] = []
        self.cameras: list[dict] = []
        self.num_correctives: dict[int, int] = {}
        self.max_error = 0.0
        self.world = self._node(
            name='people', rotation=_HALF_TURN, children=[]
        )
        self.top_nodes = [self.world]
        if sequence.num_frames:
            self.top_nodes.append(self._add_camera())
        if len(sequence):
            self._shared = self._shared_attributes()

    def _shared_attributes(self) -> dict[str, Any]:
        add, rig = self.builder.accessor, self.rig
        faces = rig.faces.astype(np.uint32).ravel()
        if len(rig.template) < 2**16 - 1:
            faces = faces.astype(np.uint16)
        self._indices = add(faces, VERTEX_INDEX)
        return {
            'JOINTS_0': add(rig.bones, VERTEX_DATA),
            'WEIGHTS_0': add(rig.weights, VERTEX_DATA),
        }

    def _node(self, **entries: Any) -> int:
        self.nodes.append(entries)
        return len(self.nodes) - 1

    def _add_camera(self) -> int:
        """The first frame's camera; it looks along -z, as glTF wants it."""
        K, (width, height) = self.sequence.K[0], self.sequence.image_sizes[0]
        nearest = float(self.sequence.joints3d[..., 2].min(initial=np.inf))
        self.cameras = [
            {
                'name': 'camera',
                'type': 'perspective',
                'perspective': {
                    'yfov': 2 * math.atan(height / (2 * K[1, 1])),
                    'aspectRatio': float(
                        (width / K[0, 0]) / (height / K[1, 1])
                    ),
                    # A depth buffer resolves distant persons only if the
                    # near plane is not too near.
                    'znear': min(max(0.01, 0.1 * nearest), 10.0),
                },
                'extras': {
                    'K': K.tolist(),
                    'width': int(width),
                    'height': int(height),
                },
            }
        ]
        return self._node(name='camera', camera=0)

    def add_person(
        self, person_id: int, basis: CorrectiveBasis | None, bar: tqdm
    ) -> None:
        """Add a person with skeleton, mesh and animation."""
        motion = PersonMotion.of(self.sequence, person_id, self.rig)
        mean = motion.mean_coefficients
        shape_ids = _moving(motion.coefficients - mean)
        # Expressions also where they rest: a user may want to animate them.
        shape_ids = np.union1d(shape_ids, np.arange(_NUM_BETAS, len(mean)))
        weights = (motion.coefficients - mean)[:, shape_ids]
        offsets = self.rig.bone_offsets(motion.coefficients)
        offsets = offsets.astype(np.float32)
        self._fit(motion, mean, offsets, basis, bar)
        shapes = self.rig.shapes[shape_ids].astype(np.float32)
        names = [_shape_name(i) for i in shape_ids]
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
        mesh_node = self._add_mesh(motion, mean, shapes, names, weights[0])
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
        """Grow the basis over the frames, and keep the largest error."""
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
        """Node of a person and those of the joints, in their first pose."""
        first = len(self.nodes) + 1
        person = self._node(
            name=f'person_{motion.person_id}',
            translation=motion.transl[0].tolist(),
            children=[first],
            extras={
                'person_id': motion.person_id,
                'betas': mean[:_NUM_BETAS].tolist(),
                'first_frame': int(motion.frames[0]),
                'last_frame': int(motion.frames[-1]),
                'num_frames': len(motion),
            },
        )
        bones = [
            self._node(
                name=name,
                translation=offset.tolist(),
                rotation=rotation.tolist(),
            )
            for name, offset, rotation in zip(
                JOINT_NAMES, offsets[0], motion.rotations[0], strict=True
            )
        ]
        for joint, parent in enumerate(self.rig.parents[1:], start=1):
            node = self.nodes[bones[parent]]
            node.setdefault('children', []).append(bones[joint])
        self.nodes[self.world]['children'].append(person)
        return person, bones

    def _add_mesh(
        self,
        motion: PersonMotion,
        mean: np.ndarray,
        shapes: np.ndarray,
        names: Sequence[str],
        weights: np.ndarray,
    ) -> int:
        vertices = self.rig.rest_vertices(mean).astype(np.float32)
        normals = vertex_normals(vertices, self.rig.faces)
        # Vertices of no face have no direction; the format wants one.
        normals[~normals.any(1)] = (0, 0, 1)
        add = self.builder.accessor
        primitive: dict[str, Any] = {
            'attributes': {
                'POSITION': add(vertices, VERTEX_DATA, bounds=True),
                'NORMAL': add(normals, VERTEX_DATA),
                **self._shared,
            },
            'indices': self._indices,
            'material': self._add_material(motion.person_id),
        }
        name = f'person_{motion.person_id}_body'
        mesh: dict[str, Any] = {'name': name, 'primitives': [primitive]}
        if len(shapes):
            primitive['targets'] = [
                {'POSITION': self.builder.sparse_accessor(shape)}
                for shape in shapes
            ]
            mesh['weights'] = weights.tolist()
            mesh['extras'] = {'targetNames': list(names)}
        self.meshes.append(mesh)
        # Not below the person: the skeleton alone places a skinned mesh.
        node = self._node(name=name, mesh=len(self.meshes) - 1)
        self.top_nodes.append(node)
        return node

    def _add_material(self, person_id: int) -> int:
        color = np.divide(instance_color(person_id), 255)
        linear = color**2.2  # glTF wants linear light
        self.materials.append(
            {
                'name': f'person_{person_id}',
                'pbrMetallicRoughness': {
                    'baseColorFactor': [*linear.round(4).tolist(), 1.0],
                    'metallicFactor': 0.0,
                    'roughnessFactor': 0.7,
                },
            }
        )
        return len(self.materials) - 1

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
        self._track_presence(skeleton, motion)
        for joint, bone in enumerate(bones):
            rotations = motion.rotations[:, joint]
            if np.abs(rotations - rotations[0]).max() > 0:
                self._track(bone, 'rotation', keys, rotations)
            if len(_moving(offsets[:, joint] - offsets[0, joint])):
                self._track(bone, 'translation', keys, offsets[:, joint])
        if weights.size:
            self._track(mesh_node, 'weights', keys, weights.ravel())

    def _track_presence(self, skeleton: int, motion: PersonMotion) -> None:
        """A person who is not in a frame has size zero."""
        present = np.zeros(self.sequence.num_frames, bool)
        present[motion.frames] = True
        if present.all():
            return
        changes = np.flatnonzero(np.diff(present)) + 1
        frames = np.concatenate([[0], changes])
        keys = self.builder.accessor(self.times[frames], bounds=True)
        scale = np.repeat(present[frames], 3).astype(np.float32)
        self._track(skeleton, 'scale', keys, scale.reshape(-1, 3), 'STEP')

    def _track(
        self,
        node: int,
        path: str,
        keys: int,
        values: np.ndarray,
        interpolation: str = 'LINEAR',
    ) -> None:
        self.samplers.append(
            {
                'input': keys,
                'output': self.builder.accessor(values),
                'interpolation': interpolation,
            }
        )
        self.channels.append(
            {
                'sampler': len(self.samplers) - 1,
                'target': {'node': node, 'path': path},
            }
        )

    def document(self) -> dict[str, Any]:
        """Everything but the arrays."""
        sequence = self.sequence
        if not self.nodes[self.world]['children']:
            del self.nodes[self.world]['children']
        animations = [
            {
                'name': 'people',
                'channels': self.channels,
                'samplers': self.samplers,
            }
        ]
        return {
            'asset': {'version': '2.0', 'generator': f'aios {__version__}'},
            'scene': 0,
            'scenes': [
                {
                    'name': 'people',
                    'nodes': self.top_nodes,
                    'extras': {
                        'fps': sequence.fps,
                        'num_frames': sequence.num_frames,
                        'source': sequence.source,
                        'gender': sequence.gender,
                        'body_model': sequence.body_model,
                        'model': sequence.model,
                        'units': sequence.units,
                    },
                }
            ],
            'nodes': self.nodes,
            'cameras': self.cameras,
            'meshes': self.meshes,
            'materials': self.materials,
            'skins': self.skins,
            'animations': animations if self.channels else [],
        }


def _forward(
    sequence: SequenceResult, rows: np.ndarray, layer: BodyModel
) -> np.ndarray:
    """The body model's vertices ``(T, V, 3)``, without translation."""
    from aios.body_models import BodyPoser

    parameters = sequence.parameters(rows)
    del parameters['transl']
    return BodyPoser(layer)(parameters).vertices.astype(np.float64)


def _moving(changes: np.ndarray) -> np.ndarray:
    """Columns that are not the same at all times, of ``(T, n)``."""
    return np.flatnonzero(np.abs(changes).max(axis=0) > _STILL)


def _shape_name(coefficient: int) -> str:
    kind = 'shape' if coefficient < _NUM_BETAS else 'expression'
    return f'{kind}_{coefficient % _NUM_BETAS}'
