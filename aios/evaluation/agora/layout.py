# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""File names and contents that the servers of AGORA and BEDLAM accept."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aios.body_models import GENDERS

FOLDER = 'predictions'
"""Folder of the files, also inside the archive."""

SMALL_SUFFIX = '_1280x720'
"""End of the names of AGORA's small images; predictions lack it."""

NUM_JOINTS = 24
"""Rows of ``joints`` that are compared.  AGORA accepts more rows; they only
enlarge the box that is used for matching."""

NUM_JOINTS_3D = 127
"""Rows of ``allSmplJoints3d`` that are compared."""

PARAMETERS: Mapping[str, int] = {
    'transl': 1,
    'betas': 0,
    'expression': 0,
    'global_orient': 1,
    'body_pose': 21,
    'left_hand_pose': 15,
    'right_hand_pose': 15,
    'leye_pose': 1,
    'reye_pose': 1,
    'jaw_pose': 1,
}
"""Arguments of the body model, and their number of 3-vectors."""

# Allowed sizes of every axis, and their description in messages.
_Shape = tuple[tuple[Container[int], ...], str]


def _exactly(*shape: int) -> _Shape:
    return tuple((size,) for size in shape), str(shape)


_JOINTS = 'joints'
_EXACT: Mapping[str, _Shape] = {
    _JOINTS: _exactly(NUM_JOINTS, 2),
    'verts': _exactly(10475, 3),
    'allSmplJoints3d': _exactly(NUM_JOINTS_3D, 3),
}
# Also accepts the layouts of the samples of AGORA's tool: a third column of
# ``joints`` and a leading axis of one, which are dropped.
_LENIENT: Mapping[str, _Shape] = {
    _JOINTS: (
        (range(NUM_JOINTS, 1 << 20), (2, 3)),
        f'({NUM_JOINTS} or more, 2 or 3)',
    ),
    'verts': _exactly(10475, 3),
    'allSmplJoints3d': (
        ((NUM_JOINTS_3D, 144), (3,)),
        f'({NUM_JOINTS_3D} or 144, 3)',
    ),
}
_OPTIONS = ('age', 'gender', 'kid_flag', 'num_betas', 'pose2rot')
_DTYPES = (np.dtype('f4'), np.dtype('f8'))
_NUMPY = 'a NumPy array of float32 or float64'


@dataclass(frozen=True)
class Benchmark:
    """Rules of a server.

    Args:
        name: ``'agora'`` or ``'bedlam'``.
        pattern: Of file names; groups ``image`` and ``person``.
        variants: Accepted contents: ``'params'``, ``'verts'``.
        size: Width and height of the images that pixels refer to; ``None``
            for the images of the test set themselves.
        shapes: Of the arrays beside parameters.
    """

    name: str
    pattern: re.Pattern[str]
    variants: tuple[str, ...]
    size: tuple[int, int] | None
    shapes: Mapping[str, _Shape]


BENCHMARKS: Mapping[str, Benchmark] = {
    'agora': Benchmark(
        'agora',
        re.compile(r'(?P<image>.+)_personId_(?P<person>\d+)\.pkl'),
        ('params', 'verts'),
        (3840, 2160),
        _LENIENT,
    ),
    'bedlam': Benchmark(
        'bedlam',
        re.compile(r'(?P<image>.+_frameID_.+)_personId_(?P<person>\d+)\.pkl'),
        ('verts',),
        None,
        _EXACT,
    ),
}
"""Servers by name."""


def parse_name(name: str, benchmark: str = 'agora') -> tuple[str, int]:
    """Image name and person number of a file name.

    Raises:
        ValueError: If it is not the name of a prediction.
    """
    found = BENCHMARKS[benchmark].pattern.fullmatch(name)
    if not found:
        wanted = '<image>_personId_<number>.pkl'
        if benchmark == 'bedlam':
            wanted = '<scene>_frameID_<frame>_personId_<number>.pkl'
        raise ValueError(f'{name}: the file name must be {wanted}')
    if benchmark == 'agora' and found['image'].endswith(SMALL_SUFFIX):
        raise ValueError(
            f'{name}: the file name must be that of the image at 3840 x '
            f'2160, without {SMALL_SUFFIX}; keypoints must also be in its '
            'pixels'
        )
    return found['image'], int(found['person'])


def check_person(person: Any, benchmark: str = 'agora') -> list[str]:
    """Check the content of a file.

    Args:
        person: The content.
        benchmark: Name of the server.

    Returns:
        One message per fault; empty if there is none.
    """
    if not isinstance(person, dict):
        return [f'holds a {type(person).__name__}, must be a dictionary']
    return list(_faults(person, BENCHMARKS[benchmark]))


def _faults(person: dict[str, Any], benchmark: Benchmark) -> Iterator[str]:
    shapes = benchmark.shapes
    yield from _array_faults(_JOINTS, person.get(_JOINTS), shapes[_JOINTS])
    kind = 'params' if 'params' in person else 'verts'
    if kind not in benchmark.variants:
        yield f'params are not taken by {benchmark.name}, write verts'
        return
    if kind == 'params':
        yield from _parameter_faults(person)
        known = {_JOINTS, 'params', *_OPTIONS}
    else:
        for name in sorted(set(shapes) - {_JOINTS}):
            value = person.get(name)
            if shapes is _LENIENT and getattr(value, 'shape', ())[:1] == (1,):
                value = person[name][0]
            yield from _array_faults(name, value, shapes[name])
        known = {*shapes, *(_OPTIONS if shapes is _LENIENT else ())}
    if unknown := sorted(set(map(str, person)) - known):
        yield f'unknown keys {unknown}; allowed are {sorted(known)}'


def _parameter_faults(person: dict[str, Any]) -> Iterator[str]:
    params = person['params']
    if not isinstance(params, dict):
        yield f'params is a {type(params).__name__}, must be a dictionary'
        return
    rotates = person.get('pose2rot', True)
    kid = person.get('kid_flag', False)
    count = person.get('num_betas', 11 if kid is True else 10)
    yield from _option_faults(person, kid, count, rotates)
    if not isinstance(count, int) or not isinstance(rotates, bool):
        return
    for name, triples in PARAMETERS.items():
        shape: tuple[int, ...] = (1, 3 * triples)
        if name == 'betas':
            shape = (1, count)
        elif name == 'expression':
            shape = (1, 10)
        elif name != 'transl' and not rotates:
            shape = (1, triples, 3, 3)
        yield from _array_faults(name, params.get(name), _exactly(*shape))
    if unknown := sorted(set(map(str, params)) - set(PARAMETERS)):
        yield f'unknown params {unknown}; allowed are {list(PARAMETERS)}'


def _option_faults(
    person: dict[str, Any], kid: Any, count: Any, rotates: Any
) -> Iterator[str]:
    gender = person.get('gender', 'neutral')
    if not isinstance(gender, str) or gender not in GENDERS:
        yield f'gender is {gender!r}, must be one of {GENDERS}'
    for name, flag in (('kid_flag', kid), ('pose2rot', rotates)):
        if not isinstance(flag, bool):
            yield f'{name} is {flag!r}, must be True or False'
    if isinstance(count, bool) or not isinstance(count, int):
        yield f'num_betas is {count!r}, must be a number'
    elif not 10 <= count <= 299:
        yield f'num_betas is {count}, must be 10 to 299'
    elif kid is True and count != 11:
        yield f'num_betas is {count}, must be 11 with kid_flag'


def _array_faults(name: str, value: Any, shape: _Shape) -> Iterator[str]:
    if value is None:
        yield f'{name} is missing'
        return
    if not isinstance(value, np.ndarray) or value.dtype not in _DTYPES:
        kind = getattr(value, 'dtype', type(value).__name__)
        yield f'{name} is a {kind}, must be {_NUMPY}'
        return
    axes, text = shape
    if len(value.shape) != len(axes) or not all(
        size in allowed
        for size, allowed in zip(value.shape, axes, strict=True)
    ):
        yield f'{name} has shape {value.shape}, must be {text}'
        return
    with np.errstate(over='ignore'):
        finite = np.isfinite(value.astype(np.float32)).all()
    if not finite:
        yield f'{name} is not finite in float32'
