# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Transforms of a data set from their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aios.registry import TRANSFORMS

__all__ = ['build_pipeline']


def build_pipeline(steps: Sequence[Any]) -> list[Any]:
    """Build transforms; this project's come first, whatever the scope.

    Args:
        steps: Transforms, or their configs.
    """
    return [
        TRANSFORMS.build(step) if isinstance(step, Mapping) else step
        for step in steps
    ]
