# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The weights that come with the package."""

from __future__ import annotations

from pathlib import Path

import aios

SHIPPED_MODEL = 'aios_s'
"""The model whose weights come with the package."""


def shipped_weights() -> Path:
    """The weights that come with the package, see ``docs/en/aios_s.md``.

    Raises:
        FileNotFoundError: If this installation lacks them.
    """
    path = Path(aios.__file__).parent / f'weights/{SHIPPED_MODEL}.safetensors'
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: the weights of the package are missing; reinstall the '
            'package, or set a checkpoint'
        )
    return path
