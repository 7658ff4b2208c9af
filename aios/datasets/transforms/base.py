# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base class of the transforms."""

from __future__ import annotations

import inspect

from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """A transform whose ``repr`` is its constructor call.

    Each argument of the constructor must be stored as an attribute of the
    same name.
    """

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        values = ', '.join(f'{name}={getattr(self, name)!r}' for name in names)
        return f'{type(self).__name__}({values})'
