# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folder of files that are made on first use."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$AIOS_CACHE``, or ``~/.cache/aios``; it may be missing."""
    folder = os.environ.get('AIOS_CACHE') or Path.home() / '.cache' / 'aios'
    return Path(folder).expanduser()
