# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Expressions of the free body as blend shapes with ARKit's names.

The names are those of Apple's ``ARFaceAnchor.BlendShapeLocation``.

Legend: ``n`` blend shapes, ``T`` frames, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

EXPRESSION_NAMES = ('smplx', 'arkit')
"""Allowed values of the argument of :func:`aios.export.write_glb`."""

EXPRESSION_OPTION = {
    '--expressions': dict(
        choices=EXPRESSION_NAMES,
        default='smplx',
        help='naming scheme of the expressions; arkit: names of ARKit for '
        'the expressions of the free body that it defines',
    )
}

# Expressions of positive and negative coefficients; * is Left or Right.
_ENDS = {
    'expression_0': ('mouthSmile*', 'mouthFrown*'),
    'expression_2': ('eyeBlink*', 'eyeWide*'),
    'expression_3': ('mouthPucker', 'mouthStretch*'),
    'expression_6': ('cheekPuff', ''),
    'expression_8': ('mouthLeft', 'mouthRight'),
}
_FULL = 2.5  # coefficient at weight 1; larger ones look unnatural
_MIDDLE = 0.01  # meters from the midline within which the sides blend


def arkit_shapes(
    template: np.ndarray,
    shapes: np.ndarray,
    weights: np.ndarray,
    names: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Split blend shapes into those of ARKit.

    Faces do not change: the sides add up, and of the two ends of an expression
    only one has a weight at a time.

    Args:
        template: ``(V, 3)`` rest pose, x to the person's left.
        shapes: ``(n, V, 3)`` displacements.
        weights: ``(T, n)`` weights of the shapes.
        names: Names of the shapes. Shapes other than expressions of the free
            body that ARKit has are not changed.

    Returns:
        New shapes, weights and names, more than before.
    """
    left = np.clip(0.5 + template[:, :1] / (2 * _MIDDLE), 0, 1)
    parts = [
        part
        for name, shape, weight in zip(names, shapes, weights.T, strict=True)
        for part in _parts(name, shape, weight, left)
    ]
    new_names, new_shapes, new_weights = zip(*parts, strict=True)
    return (
        np.stack(new_shapes).astype(shapes.dtype),
        np.stack(new_weights, axis=1).astype(weights.dtype),
        list(new_names),
    )


def _parts(
    name: str, shape: np.ndarray, weight: np.ndarray, left: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names, displacements and weights of the parts of a shape."""
    if name not in _ENDS:
        yield name, shape, weight
        return
    positive, negative = _ENDS[name]
    for sign, end in ((1, positive), (-1, negative)):
        part = np.maximum(sign * weight, 0) if negative else weight
        sides = {'': np.ones_like(left)}
        if '*' in end:
            sides = {'Left': left, 'Right': 1 - left}
        for side, share in sides.items() if end else ():
            yield (
                end.replace('*', side),
                sign * _FULL * share * shape,
                part / _FULL,
            )
