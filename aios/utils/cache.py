# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folder of files that are made on first use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_ADVICE = 'set AIOS_CACHE to a folder that can be written'


def cache_folder() -> Path:
    """``$AIOS_CACHE``, or ``~/.cache/aios``; it may be missing.

    Raises:
        OSError: If the user has no home folder.
    """
    folder = os.environ.get('AIOS_CACHE')
    try:
        if folder:
            return Path(folder).expanduser()
        return Path.home() / '.cache' / 'aios'
    except RuntimeError as error:
        raise OSError(f'{error} {_ADVICE}') from error


def make_cache_folder(folder: Path) -> None:
    """Make a folder in :func:`cache_folder`.

    Raises:
        OSError: If it cannot be written; the message gives advice.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = f'{error.strerror} ({_ADVICE})'
        raise OSError(error.errno, reason, str(folder)) from error
