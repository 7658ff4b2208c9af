# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Version of the package: the only place where it is written down."""

from __future__ import annotations

__version__ = '0.1.0'
