# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The HTML page with persons, images and scripts.

Symbols: ``F`` frames, ``N`` persons of all frames.
"""

from __future__ import annotations

import base64
import html
import json
import os
import struct
import zlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy.spatial.transform import Rotation

from aios.export.axes import world_axes
from aios.results import SequenceResult, instance_color
from aios.structures import PELVIS
from aios.utils.safe_io import atomic_write, named_errors
from aios.version import __version__
from aios.visualization.views import are_framed

from .media import ImageTrack

_LINE = 3 << 16  # bytes per line of base64
_LIMIT = 400 << 20  # browsers reject strings of half a gigabyte
_EMPTY_SCENE = np.array([[-1.0, -1.0, 4.0], [1.0, 1.0, 6.0]])  # OpenCV's axes
_PARTS = {
    'CSS': 'viewer.css',
    'THREE': 'vendor/three.min.js',
    'SCRIPT': 'viewer.js',
}


def write_viewer(
    persons: SequenceResult,
    glb: str | os.PathLike,
    path: str | os.PathLike,
    *,
    images: ImageTrack | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> int:
    """Write a page that plays persons beside their images.

    The page is self-contained, and forbids the browser to load other files.

    Args:
        persons: The persons.
        glb: Their animation, written by :func:`aios.export.write_glb`.
        path: The ``.html`` file. Missing folders are made.
        images: Images of the frames, see
            :func:`~aios.viewer.make_image_track`.
        title: Default: name of the source.
        overwrite: Replace an existing file.

    Returns:
        Size of the page in bytes.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If the animation is of other persons, or the page would be
            too large for browsers.
    """
    glb, path = Path(glb), Path(path)
    check_animation(glb, persons)
    media = [] if images is None else list(images.paths)
    if images is not None and images.kind == 'images':
        _check_count(len(media), persons.num_frames)
    size = sum(file.stat().st_size for file in [glb, *media])
    if size > _LIMIT:
        raise ValueError(
            f'{path} would have {size >> 20} MB, browsers load at most '
            f'{_LIMIT >> 20} MB; use fewer frames or persons, or smaller '
            'images'
        )
    names = ['media'] if len(media) == 1 else []
    names = names or [f'media{index}' for index in range(len(media))]
    data = describe_persons(persons) | {
        'media': {
            'kind': 'none' if images is None else images.kind,
            'type': None if images is None else images.mime_type,
            'names': names,
        }
    }
    before, after = _fill(
        title or Path(persons.source).name or 'Persons', data
    )
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(before)
        _write_payload(stream, 'glb', _gzip(_pieces(glb)))
        for name, file in zip(names, media, strict=True):
            _write_payload(stream, name, _pieces(file))
        stream.write(after)
    return path.stat().st_size


def describe_persons(persons: SequenceResult) -> dict[str, Any]:
    """Data of the page besides animation and images.

    Args:
        persons: The persons.

    Returns:
        Values for JSON: ``times`` in seconds, ``names``, ``cameras`` without
        duplicates, ``frameCameras`` (index of each frame's camera),
        ``persons`` with the ``spans`` of their frames, ``bounds``, their
        bounding box in the axes of the animation, ``depths``, their range of
        distances from the camera, and ``ground``, the height of the floor.
    """
    views = np.concatenate([persons.K.reshape(-1, 9), persons.image_sizes], 1)
    different, which = np.unique(views, axis=0, return_inverse=True)
    return {
        'version': __version__,
        'source': Path(persons.source).name,
        # Not rounded, as persons appear and disappear at these times.
        'times': persons.times().astype(float).tolist(),
        'names': persons.frame_names.tolist(),
        'cameras': [
            {'K': view[:9].reshape(3, 3).tolist(), 'size': view[9:].tolist()}
            for view in different
        ],
        'frameCameras': which.ravel().tolist(),
        'persons': [
            _describe_person(persons, person)
            for person in persons.person_ids.tolist()
        ],
        **_extent(persons),
    }


def _describe_person(persons: SequenceResult, person: int) -> dict[str, Any]:
    rows = persons.person_id == person
    frames = persons.frame_index[rows]
    breaks = np.flatnonzero(np.diff(frames) > 1) + 1
    red, green, blue = instance_color(person)
    return {
        'id': person,
        'color': f'#{red:02x}{green:02x}{blue:02x}',
        'count': len(frames),
        'score': round(float(persons.scores[rows].mean()), 4),
        'spans': [
            [int(span[0]), int(span[-1])] for span in np.split(frames, breaks)
        ],
    }


def _extent(persons: SequenceResult) -> dict[str, Any]:
    """Where the joints are, see :func:`describe_persons`."""
    points = _EMPTY_SCENE
    if len(persons):
        framed = are_framed(persons.joints3d[:, PELVIS, 2])
        points = persons.joints3d[framed].reshape(-1, 3)
    rotation, position = world_axes(persons, 'y')
    # In the type of the points, of which long videos have many.
    placed = points @ rotation.as_matrix().T.astype(points.dtype)
    low, high = (
        np.round(corner + position, 4)
        for corner in (placed.min(0), placed.max(0))
    )
    depths = points[:, 2].min(), points[:, 2].max()
    return {
        'bounds': [low.tolist(), high.tolist()],
        'depths': np.round(depths, 4).tolist(),
        'ground': float(low[1]) if persons.floor is None else 0.0,
    }


def check_animation(path: Path, persons: SequenceResult) -> None:
    """Reject the animation of other persons, or of an earlier result.

    Args:
        path: The GLB file.
        persons: The persons.

    Raises:
        ValueError: If it is damaged, or of others.
    """
    with named_errors(path):
        _check_document(_read_document(path), persons)


def _check_document(document: dict[str, Any], persons: SequenceResult) -> None:
    """Implementation of :func:`check_animation`."""
    nodes = document.get('nodes', [])
    names = [str(node.get('name')) for node in nodes]
    found = {
        node['extras']['person_id']: node
        for node in nodes
        if 'person_id' in node.get('extras', {})
    }
    ids, first = np.unique(persons.person_id, return_index=True)
    if sorted(found) != ids.tolist() or 'persons' not in names:
        raise ValueError(
            f'has persons {sorted(found)}, expected {ids.tolist()} as '
            'in the results'
        )
    scene = document.get('scenes', [{}])[0].get('extras', {})
    _check_count(scene.get('num_frames'), persons.num_frames)
    rotation, position = world_axes(persons, 'y')
    places = persons.joints3d[first, PELVIS]
    if persons.has_parameters:
        places = persons.transl[first]
    scene_node = nodes[names.index('persons')]
    for node, place in (
        (scene_node, position),
        *((found[i], p) for i, p in zip(ids.tolist(), places, strict=True)),
    ):
        if not np.allclose(node.get('translation', 0), place, atol=1e-3):
            raise ValueError(
                f'{node["name"]} is at another place than in the results'
            )
    turn = Rotation.from_quat(scene_node.get('rotation', [0, 0, 0, 1]))
    if (turn.inv() * rotation).magnitude() > 1e-3:
        raise ValueError('has another floor than the results')


def _check_count(count: int | None, wanted: int) -> None:
    if count != wanted:
        raise ValueError(
            f'{count} frames, expected {wanted} as in the results'
        )


def _read_document(path: Path) -> dict[str, Any]:
    with open(path, 'rb') as stream:
        header = stream.read(20)
        if len(header) < 20 or header[:4] != b'glTF':
            raise ValueError('not a GLB file')
        (length,) = struct.unpack('<I', header[12:16])
        try:
            return json.loads(stream.read(min(length, path.stat().st_size)))
        except (RecursionError, ValueError) as error:
            raise ValueError(f'damaged ({error})') from error


def _fill(title: str, data: dict[str, Any]) -> tuple[bytes, bytes]:
    """The page before and after the payloads."""
    assets = resources.files('aios.viewer') / 'assets'
    # User data must not close the script element.
    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    values = {
        'TITLE': html.escape(title),
        'DATA': text.replace('<', '\\u003c'),
    }
    for name, file in _PARTS.items():
        values[name] = (assets / file).read_text('utf-8').strip()
    parts = (assets / 'viewer.html').read_text('utf-8').split('%%')
    # Odd parts are names of placeholders; inserted text is not expanded.
    place = parts.index('PAYLOADS')
    filled = [
        values.get(part, '') if index % 2 else part
        for index, part in enumerate(parts)
    ]
    before, after = ''.join(filled[:place]), ''.join(filled[place:])
    return before.encode(), after.encode()


def _write_payload(
    stream: BinaryIO, name: str, pieces: Iterator[bytes]
) -> None:
    """Write an element with lines of base64."""
    kind = 'application/octet-stream'
    stream.write(f'<script id="{name}" type="{kind}">\n'.encode())
    rest = b''
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % _LINE
        for start in range(0, whole, _LINE):
            line = base64.b64encode(rest[start : start + _LINE])
            stream.write(line + b'\n')
        rest = rest[whole:]
    stream.write(base64.b64encode(rest) + b'\n</script>\n')


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, 'rb') as stream:
        while piece := stream.read(1 << 20):
            yield piece


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
