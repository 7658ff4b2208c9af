# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Contents of folders."""

from __future__ import annotations

from pathlib import Path


def is_hidden(path: Path) -> bool:
    """Whether a file is hidden, as the ``._a.jpg`` of macOS to ``a.jpg``.

    Args:
        path: Relative to the folder that is searched.
    """
    return any(part.startswith('.') for part in path.parts)


def visible_paths(folder: Path, pattern: str = '*') -> list[Path]:
    """Files and folders that match a pattern, sorted, without hidden ones.

    Args:
        folder: The folder; nothing is found if it does not exist.
        pattern: Of :meth:`pathlib.Path.glob`.
    """
    found = folder.glob(pattern)
    return sorted(p for p in found if not is_hidden(p.relative_to(folder)))
