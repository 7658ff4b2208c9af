# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluation of a GLB file according to the glTF 2.0 standard.

Independent of the writer: the container is read by ``pygltflib``.
"""

from __future__ import annotations

import os

import numpy as np
import pygltflib
from scipy.spatial.transform import Rotation, Slerp

_TYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_SIZES = {'SCALAR': 1, 'VEC3': 3, 'VEC4': 4, 'MAT4': 16}


class GLBViewer:
    """A GLB file, evaluated at any time of its first animation."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.gltf = pygltflib.GLTF2().load_binary(str(path))
        self.blob = self.gltf.binary_blob()

    def array(self, accessor: int) -> np.ndarray:
        entry = self.gltf.accessors[accessor]
        size, dtype = _SIZES[entry.type], _TYPES[entry.componentType]
        if entry.bufferView is None:
            values = np.zeros((entry.count, size), dtype)
        else:
            values = self._view(entry.bufferView, dtype, entry.count * size)
            values = values.reshape(entry.count, size)
        if entry.sparse:
            count = entry.sparse.count
            index, data = entry.sparse.indices, entry.sparse.values
            rows = self._view(
                index.bufferView, _TYPES[index.componentType], count
            )
            values[rows] = self._view(
                data.bufferView, dtype, count * size
            ).reshape(count, size)
        if entry.type == 'MAT4':  # column after column
            return values.reshape(-1, 4, 4).transpose(0, 2, 1)
        return values[:, 0] if size == 1 else values

    def _view(self, view: int, dtype: type, count: int) -> np.ndarray:
        entry = self.gltf.bufferViews[view]
        assert not entry.byteStride
        start = entry.byteOffset or 0
        return np.frombuffer(self.blob, dtype, count, start).copy()

    def tracks(self, time: float) -> dict[tuple[int, str], np.ndarray]:
        """Value of each animated property, by node and path."""
        if not self.gltf.animations:
            return {}
        (animation,) = self.gltf.animations
        values = {}
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            keys = self.array(sampler.input).astype(np.float64)
            output = self.array(sampler.output)
            output = output.reshape(len(keys), -1).astype(np.float64)
            target = channel.target.node, channel.target.path
            assert target not in values
            values[target] = _sample(
                keys, output, time, sampler.interpolation, target[1]
            )
        return values

    def world_matrices(
        self, tracks: dict[tuple[int, str], np.ndarray]
    ) -> np.ndarray:
        """World matrices ``(n, 4, 4)`` of all nodes."""
        world = np.full((len(self.gltf.nodes), 4, 4), np.nan)

        def visit(index: int, parent: np.ndarray) -> None:
            node = self.gltf.nodes[index]
            moved = {
                path: tracks.get((index, path), getattr(node, path) or default)
                for path, default in (
                    ('translation', (0, 0, 0)),
                    ('rotation', (0, 0, 0, 1)),
                    ('scale', (1, 1, 1)),
                )
            }
            local = np.eye(4)
            turned = Rotation.from_quat(moved['rotation']).as_matrix()
            local[:3, :3] = turned * np.asarray(moved['scale'])
            local[:3, 3] = moved['translation']
            world[index] = parent @ local
            for child in node.children or ():
                visit(child, world[index])

        for top in self.gltf.scenes[self.gltf.scene].nodes:
            visit(top, np.eye(4))
        return world

    def vertices(self, time: float) -> dict[str, np.ndarray]:
        """Skinned vertices ``(V, 3)`` by the name of the mesh node."""
        tracks = self.tracks(time)
        world = self.world_matrices(tracks)
        shown = {}
        for index, node in enumerate(self.gltf.nodes):
            if node.mesh is None:
                continue
            mesh = self.gltf.meshes[node.mesh]
            (primitive,) = mesh.primitives
            weights = tracks.get((index, 'weights'), mesh.weights)
            rest = self.array(primitive.attributes.POSITION)
            rest = rest.astype(np.float64)
            targets = primitive.targets or ()
            for weight, target in zip(weights, targets, strict=True):
                rest += weight * self.array(target['POSITION'])
            if node.skin is None:
                at = world[index]
                shown[node.name] = rest @ at[:3, :3].T + at[:3, 3]
                continue
            skin = self.gltf.skins[node.skin]
            bind = self.array(skin.inverseBindMatrices)
            bones = world[skin.joints] @ bind
            joints = self.array(primitive.attributes.JOINTS_0)
            shares = self.array(primitive.attributes.WEIGHTS_0)
            blended = np.einsum('vk,vkab->vab', shares, bones[joints])
            shown[node.name] = (blended[:, :3, :3] @ rest[..., None])[
                ..., 0
            ] + blended[:, :3, 3]
        return shown


def _sample(
    keys: np.ndarray, output: np.ndarray, time: float, kind: str, path: str
) -> np.ndarray:
    assert (np.diff(keys) > 0).all()
    time = float(np.clip(time, keys[0], keys[-1]))
    before = int(np.searchsorted(keys, time, 'right')) - 1
    if kind == 'STEP' or keys[before] == time:
        return output[before]
    assert kind == 'LINEAR'
    pair = slice(before, before + 2)
    if path == 'rotation':
        slerp = Slerp(keys[pair], Rotation.from_quat(output[pair]))
        return slerp(time).as_quat()
    share = (time - keys[before]) / (keys[before + 1] - keys[before])
    return (1 - share) * output[before] + share * output[before + 1]
