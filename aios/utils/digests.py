# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Digests of values and files."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import numpy as np


def digest(value: Any) -> str:
    """Hash of a JSON value, 16 hexadecimal digits.

    NumPy scalars count as numbers, and other objects as their texts.
    """
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file in hexadecimal, as of ``sha256sum``."""
    total = hashlib.sha256()
    with open(path, 'rb') as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
    return total.hexdigest()
