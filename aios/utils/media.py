# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find image and video files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from .folders import is_hidden

IMAGE_SUFFIXES = (
    *('.avif', '.bmp', '.heic', '.heif', '.jpeg', '.jpg', '.png', '.tif'),
    *('.tiff', '.webp'),
)
VIDEO_SUFFIXES = (
    *('.3gp', '.avi', '.gif', '.m2ts', '.m4v', '.mkv', '.mov', '.mp4'),
    *('.mpeg', '.mpg', '.mts', '.webm', '.wmv'),
)
MEDIA_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)


def is_media(name: str | os.PathLike) -> bool:
    """Whether a name is that of an image or video, by its suffix."""
    return Path(name).suffix.lower() in MEDIA_SUFFIXES


def list_media(
    source: str | os.PathLike,
    recursive: bool = False,
    without: str | os.PathLike | None = None,
) -> list[Path]:
    """Images and videos of a file name, a folder or a pattern.

    Args:
        source: A file, a folder, or a pattern such as ``'shots/*.jpg'``.
            Hidden files and sub-folders are left out, such as the
            ``._a.jpg`` that macOS adds to ``a.jpg``, and ``.thumbnails``.
        recursive: Also search sub-folders of a folder, and let ``**`` in a
            pattern match any of them.
        without: Sub-folder that is left out, for the results of a run.

    Returns:
        Files sorted by name, ``2.png`` before ``10.png``.

    Raises:
        FileNotFoundError: If there is no such file, or no image or video is
            found; then the message lists the suffixes.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    found: Iterable[Path]
    if path.is_dir():
        names = path.rglob('*') if recursive else path.glob('*')
        found = (p for p in names if not is_hidden(p.relative_to(path)))
        skipped = _absolute(without or path)
        if _absolute(path) in skipped.parents:
            found = (p for p in found if skipped not in _absolute(p).parents)
    elif not glob.has_magic(str(source)):
        raise FileNotFoundError(f'{source}: no such file or folder')
    else:
        found = map(Path, glob.glob(str(source), recursive=recursive))
    files = sorted(
        (p for p in found if is_media(p) and p.is_file()), key=natural_key
    )
    if not files:
        hint = '' if recursive or not path.is_dir() else ' (not recursive)'
        raise FileNotFoundError(
            f'{source}: no image or video found{hint}; allowed suffixes are '
            f'{", ".join(MEDIA_SUFFIXES)}'
        )
    return files


def _absolute(path: str | os.PathLike) -> Path:
    return Path(os.path.abspath(path))


def natural_key(path: Path) -> tuple[list[list[int | str]], Path]:
    """Sort key that compares the numbers in names as numbers.

    Args:
        path: The file.
    """
    parts = [re.split('([0-9]+)', part) for part in path.parts]
    key = [
        [int(x) if i % 2 else x for i, x in enumerate(part)] for part in parts
    ]
    return key, path  # 1.png and 01.png have the same numbers
