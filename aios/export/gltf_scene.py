# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base of the glTF scenes of persons.

Legend: ``T`` frames of a person, ``V`` vertices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from aios.results import SequenceResult, instance_color
from aios.structures import HALF_TURN, vertex_normals
from aios.version import __version__

from .axes import world_axes
from .correctives import CorrectiveBasis
from .glb import VERTEX_DATA, VERTEX_INDEX, GLBBuilder


class GLTFScene:
    """Nodes, meshes, skins and one animation, person by person."""

    def __init__(
        self,
        builder: GLBBuilder,
        sequence: SequenceResult,
        faces: np.ndarray,
        times: np.ndarray,
    ) -> None:
        self.builder, self.sequence, self.faces = builder, sequence, faces
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
        rotation, position = world_axes(sequence, 'y')
        self.world = self._node(
            name='persons',
            rotation=rotation.as_quat().tolist(),
            translation=position.tolist(),
            children=[],
        )
        self.top_nodes = [self.world]
        if sequence.num_frames:
            self.top_nodes.append(self._add_camera(rotation, position))

    def add_person(
        self, person_id: int, basis: CorrectiveBasis | None, bar: tqdm
    ) -> None:
        """Add a person with mesh and animation."""
        raise NotImplementedError

    def _node(self, **entries: Any) -> int:
        self.nodes.append(entries)
        return len(self.nodes) - 1

    def _add_camera(self, rotation: Rotation, position: np.ndarray) -> int:
        """Camera of the first frame; it looks along -z as required by glTF."""
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
                    # A near plane close to the camera would waste the
                    # precision of the depth buffer.
                    'znear': min(max(0.01, 0.1 * nearest), 10.0),
                },
                'extras': {
                    'K': K.tolist(),
                    'width': int(width),
                    'height': int(height),
                    **self.sequence.frame(0).camera_source,
                },
            }
        ]
        turn = rotation * Rotation.from_quat(HALF_TURN).inv()
        return self._node(
            name='camera',
            camera=0,
            rotation=turn.as_quat().tolist(),
            translation=position.tolist(),
        )

    def _add_person_node(
        self,
        person_id: int,
        position: np.ndarray,
        frames: np.ndarray,
        **extras: Any,
    ) -> int:
        """Add the node of a person, with the position in its first frame."""
        person = self._node(
            name=f'person_{person_id}',
            translation=position.tolist(),
            children=[],
            extras={
                'person_id': person_id,
                **extras,
                'first_frame': int(frames[0]),
                'last_frame': int(frames[-1]),
                'num_frames': len(frames),
            },
        )
        self.nodes[self.world]['children'].append(person)
        return person

    def _add_mesh(
        self,
        person_id: int,
        vertices: np.ndarray,
        shapes: np.ndarray,
        names: Sequence[str],
        weights: np.ndarray,
        **attributes: int,
    ) -> int:
        """Add the node of a mesh, with blend shapes and initial weights."""
        normals = vertex_normals(vertices, self.faces)
        # Vertices without a face have no normal, but the format needs one.
        normals[~normals.any(1)] = (0, 0, 1)
        add = self.builder.accessor
        index_type = np.uint16 if len(vertices) < 2**16 - 1 else np.uint32
        faces = self.faces.astype(index_type).ravel()
        primitive: dict[str, Any] = {
            'attributes': {
                'POSITION': add(vertices, VERTEX_DATA, bounds=True),
                'NORMAL': add(normals, VERTEX_DATA),
                **attributes,
            },
            'indices': add(faces, VERTEX_INDEX),
            'material': self._add_material(person_id),
        }
        name = f'person_{person_id}_body'
        mesh: dict[str, Any] = {'name': name, 'primitives': [primitive]}
        if len(shapes):
            primitive['targets'] = [
                {'POSITION': self.builder.sparse_accessor(shape)}
                for shape in shapes
            ]
            mesh['weights'] = weights.tolist()
            mesh['extras'] = {'targetNames': list(names)}
        self.meshes.append(mesh)
        return self._node(name=name, mesh=len(self.meshes) - 1)

    def _add_material(self, person_id: int) -> int:
        color = np.divide(instance_color(person_id), 255)
        linear = color**2.2  # colors of glTF are linear
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

    def _track_presence(self, person: int, frames: np.ndarray) -> None:
        """Scale a person to zero in frames without it."""
        present = np.zeros(self.sequence.num_frames, bool)
        present[frames] = True
        if present.all():
            return
        changes = np.flatnonzero(np.diff(present)) + 1
        starts = np.concatenate([[0], changes])
        keys = self.builder.accessor(self.times[starts], bounds=True)
        scale = np.repeat(present[starts], 3).astype(np.float32)
        self._track(person, 'scale', keys, scale.reshape(-1, 3), 'STEP')

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
        """The glTF document without arrays."""
        sequence = self.sequence
        if not self.nodes[self.world]['children']:
            del self.nodes[self.world]['children']
        animations = [
            {
                'name': 'persons',
                'channels': self.channels,
                'samplers': self.samplers,
            }
        ]
        return {
            'asset': {'version': '2.0', 'generator': f'aios {__version__}'},
            'scene': 0,
            'scenes': [
                {
                    'name': 'persons',
                    'nodes': self.top_nodes,
                    'extras': {
                        'fps': sequence.fps or _rate(self.times),
                        'duration': float(self.times[-1:].sum()),
                        'num_frames': sequence.num_frames,
                        'source': sequence.source,
                        **_source_clock(sequence),
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


def _source_clock(sequence: SequenceResult) -> dict[str, float]:
    """Number of the first frame in the source video, and its frame rate.

    Results may begin later and have fewer frames.  Empty for images.
    """
    numbers, times = sequence.source_frames, sequence.timestamps
    if len(numbers) < 2 or not (np.diff([numbers, times]) > 0).all():
        return {}
    rate = (numbers[-1] - numbers[0]) / (times[-1] - times[0])
    return {
        'source_first_frame': int(numbers[0]),
        'source_fps': round(float(rate), 6),
    }


def _rate(times: np.ndarray) -> float:
    """Frames per second of images; 0 for a single one."""
    return 1 / float(times[1]) if len(times) > 1 else 0.0
