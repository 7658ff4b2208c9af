# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What all transforms have in common."""

from __future__ import annotations

import inspect

from mmcv.transforms import BaseTransform


class Transform(BaseTransform):
    """A transform that prints as the call that makes it.

    Each argument of the constructor is kept as the attribute of its name.
    """

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        values = ', '.join(f'{name}={getattr(self, name)!r}' for name in names)
        return f'{type(self).__name__}({values})'
