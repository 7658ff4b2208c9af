# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images without persons, listed beside the rows of a HumanData file.

``M`` images with persons, ``E`` without.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aios.utils.safe_io import leaves_folder

from .faults import Fault, HumanDataError
from .human_data import HumanData
from .image_sizes import are_image_sizes

_FIELD = 'misc.empty_images'


def append_empty_images(
    columns: Mapping[str, np.ndarray],
    data: HumanData,
    first_index: int,
    interval: int,
) -> dict[str, np.ndarray]:
    """Adds the images of ``misc['empty_images']`` to those with persons.

    Args:
        columns: ``image_...`` columns of the M images with persons, see
            :func:`~aios.datasets.label_blocks.label_blocks`.
        data: The file.
        first_index: Number of the first image without persons.
        interval: Take every n-th of them.

    Returns:
        The columns with M + E images.

    Raises:
        HumanDataError: If the entry does not hold ``image_path``, ``height``
            and ``width``, of one length.
    """
    listed = data.get('misc', {}).get('empty_images')
    if listed is None:
        return dict(columns)
    paths, sizes = _read(listed)
    paths, sizes = paths[::interval], sizes[::interval]
    count = len(paths)
    end = columns['image_rows'].max(initial=0)
    added = {
        'image_path': np.char.replace(paths, '\\', '/'),
        'image_index': first_index + interval * np.arange(count),
        'image_size': sizes,
        'image_rows': np.full((count, 2), end),
        'image_camera': np.full((count, 4), np.nan),
    }
    if 'image_ignored' in columns:
        crowds = columns['image_ignored'].max(initial=0)
        added['image_ignored'] = np.full((count, 2), crowds)
    return {
        name: np.concatenate([value, added[name]])
        for name, value in columns.items()
    }


def _read(listed: object) -> tuple[np.ndarray, np.ndarray]:
    """Paths ``(E,)`` and sizes ``(E, 2)``, height and width."""
    table = listed if isinstance(listed, Mapping) else {}
    paths, height, width = (
        np.asarray(table.get(name, 0))
        for name in ('image_path', 'height', 'width')
    )
    if (
        paths.shape != (paths.size,)
        or not paths.shape == height.shape == width.shape
        or (paths.size and paths.dtype.kind != 'U')
        or (paths.size and {height.dtype.kind, width.dtype.kind} - set('iu'))
    ):
        raise HumanDataError(
            Fault(
                'wrong_type',
                _FIELD,
                'must be a dictionary of lists image_path (strings), height '
                'and width (integers), all of one length',
            )
        )
    sizes = np.stack([height, width], axis=1).reshape(-1, 2)
    bad = np.flatnonzero(~are_image_sizes(sizes))
    if len(bad):
        raise HumanDataError(
            Fault(
                'unknown_size',
                _FIELD,
                'height, width must be numbers of pixels, got '
                f'{sizes[bad[0]].tolist()}',
                int(bad[0]),
                len(bad),
            )
        )
    outside = [i for i, p in enumerate(paths.tolist()) if leaves_folder(p)]
    if outside:
        text = f'image_path leaves data_prefix: {paths[outside[0]]!r}'
        raise HumanDataError(
            Fault('outside', _FIELD, text, outside[0], len(outside))
        )
    return paths.astype(str), sizes
