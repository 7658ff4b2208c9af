# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The compact seed: integers in a zip archive without time stamps.

Lengths are stored in units of 10 micrometers and weights in 1/32768, so that
the file does not depend on floating-point rounding, and symmetric input stays
exactly symmetric.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

LENGTH_UNIT = 1e-5
SHARES = 2**15
_COMPRESSION = 9


def lengths(meters: np.ndarray, dtype: type) -> np.ndarray:
    """Round lengths to the unit of the seed.

    Raises:
        ValueError: A length does not fit ``dtype``.
    """
    # The extra rounding makes values halfway between units reproducible.
    counts = np.rint(np.round(meters / LENGTH_UNIT, 3))
    limit = np.iinfo(dtype).max
    if np.abs(counts).max() > limit:
        raise ValueError(f'lengths must be at most {limit * LENGTH_UNIT} m')
    return counts.astype(dtype)


def shares(weights: np.ndarray) -> np.ndarray:
    """Round rows that sum to one to integers that sum to 32768.

    The largest remainders are rounded up, ties in order of position.
    """
    exact = np.round(weights * SHARES, 4)
    counts = np.floor(exact).astype(np.int64)
    missing = SHARES - counts.sum(-1, keepdims=True)
    order = np.argsort(counts - exact, axis=-1, kind='stable')
    rank = np.argsort(order, axis=-1, kind='stable')
    return (counts + (rank < missing)).astype(np.uint16)


def sparse_rows(counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Row indices, column indices and values of non-zero entries."""
    rows, columns = np.nonzero(counts)
    values = counts[rows, columns]
    return rows.astype(np.uint8), columns.astype(np.uint16), values


def write_seed(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an ``.npz`` whose bytes depend on the arrays only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.asarray(array, order='C'), allow_pickle=False
            )
            info = zipfile.ZipInfo(f'{name}.npy', (1980, 1, 1, 0, 0, 0))
            archive.writestr(
                info,
                content.getvalue(),
                zipfile.ZIP_DEFLATED,
                _COMPRESSION,
            )
    path.write_bytes(buffer.getvalue())


def balanced_shares(row: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Like :func:`shares` for one row that equals its mirror image.

    The rounding remainder goes to the largest pair, and an odd remainder to
    the largest entry that is its own mirror image.

    Args:
        row: (C,) with ``row[mirror] == row``.
        mirror: (C,) an involution.
    """
    counts = np.rint(np.round(row * SHARES, 4)).astype(np.int64)
    own = mirror == np.arange(len(row))
    rest = SHARES - int(counts.sum())
    if rest % 2:
        step = 1 if rest > 0 else -1
        counts[np.argmax(np.where(own, counts, -1))] += step
        rest -= step
    largest = int(np.argmax(counts))
    counts[largest] += rest // 2
    counts[mirror[largest]] += rest // 2
    return counts.astype(np.uint16)
