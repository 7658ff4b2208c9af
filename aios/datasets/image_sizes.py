# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Image sizes from the headers of images, for files without sizes."""

from __future__ import annotations

import os

import numpy as np

from aios.utils.images import MAX_PIXELS, read_header

from .faults import Fault, HumanDataError
from .human_data import HumanData
from .schema import path_codes

UNKNOWN_SIZE = 2**15
"""Height and width of a missing image, which will be left out."""

_MAX_FAULTS = 20


def has_image_sizes(data: HumanData) -> bool:
    """Whether a file has ``meta.height`` and ``meta.width``."""
    meta = data.get('meta', {})
    return all(np.size(meta.get(key, ())) for key in ('height', 'width'))


def listed_sizes(data: HumanData) -> tuple[np.ndarray, np.ndarray] | None:
    """Heights and widths ``(N,)`` in a file; None without them."""
    meta = data.get('meta', {})
    sizes = [np.asarray(meta.get(k, ()), float) for k in ('height', 'width')]
    if any(len(np.atleast_1d(s)) != len(data) for s in sizes):
        return None
    return sizes[0].reshape(-1), sizes[1].reshape(-1)


def are_image_sizes(sizes: np.ndarray) -> np.ndarray:
    """``(N,)`` bool, whether ``(N, 2)`` are valid heights and widths."""
    return np.all((sizes >= 1) & (sizes <= MAX_PIXELS), axis=1)


def add_image_sizes(
    data: HumanData, root: str | os.PathLike, allow_missing: bool = False
) -> int:
    """Set ``meta.height`` and ``meta.width`` from the image files.

    Files of mmhuman3d's own converters lack them.  Only headers are read;
    sizes are those of the stored pixels, regardless of EXIF orientation.

    Args:
        data: Changed in place.
        root: Folder that ``image_path`` is relative to.
        allow_missing: Whether images may be missing; they get a size that
            keeps every box.

    Returns:
        Number of images read.

    Raises:
        HumanDataError: If images are missing or unreadable; the message
            names the first ones.
    """
    names = [name.replace('\\', '/') for name in data['image_path']]
    index = path_codes(names)
    _, rows = np.unique(index, return_index=True)
    sizes = np.full((len(rows), 2), UNKNOWN_SIZE, np.int64)
    faults: list[Fault] = []
    for place, row in enumerate(rows.tolist()):
        path = os.path.join(root, names[row])
        try:
            sizes[place] = stored_size(path)
        except OSError as error:
            if allow_missing and isinstance(error, FileNotFoundError):
                continue
            faults.append(_unknown_size(path, error, row))
        if len(faults) == _MAX_FAULTS:
            break  # a wrong folder: do not look for all images
    if faults:
        raise HumanDataError(faults)
    height, width = sizes[index].T
    meta = {**data.get('meta', {}), 'height': height, 'width': width}
    data['meta'] = meta
    return len(rows)


def _unknown_size(path: str, error: OSError, row: int) -> Fault:
    reason = (
        'does not exist'
        if isinstance(error, FileNotFoundError)
        else (f'is no image that can be read ({error})')
    )
    return Fault(
        'unknown_size',
        'meta.height',
        f'is absent, and {path} {reason}; correct data_prefix, or set '
        'image_size=(height, width)',
        row,
    )


def stored_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width of an image, from its header.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, 'rb') as file:
        header = read_header(file)
        if header is None:
            raise OSError('of no known format')
        width, height = header.size
        return height, width
