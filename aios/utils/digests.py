# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Short texts that change with what they stand for."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any


def digest(value: Any) -> str:
    """16 digits that change with any part of what JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: str | os.PathLike) -> str:
    """Checksum of a file, as ``sha256sum`` prints it."""
    total = hashlib.sha256()
    with open(path, 'rb') as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
    return total.hexdigest()
