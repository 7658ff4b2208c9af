# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The ONNX file of the weights that come with the package."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

from aios.utils.cache import cache_folder, make_cache_folder
from aios.utils.digests import file_sha256
from aios.utils.shipped import SHIPPED_MODEL, shipped_weights
from aios.version import __version__

_LOGGER = logging.getLogger(__name__)
_EXPORTERS = ('torch', 'mmdet', 'onnx', 'onnxruntime', 'onnxscript')


def onnx_path(variant: str = '') -> Path:
    """Default path of ``python -m aios export`` for the shipped model.

    The name contains the hash of the weights and the version of the package,
    so new ones are exported again.

    Args:
        variant: ``'-int8'`` for the file of ``--int8``.
    """
    digest = file_sha256(shipped_weights())[:12]
    name = f'{SHIPPED_MODEL}-{digest}-{__version__}{variant}.onnx'
    return cache_folder() / 'onnx' / name


def missing_exporters() -> str:
    """Advice about packages for the export; empty if none is missing."""
    missing = [name for name in _EXPORTERS if find_spec(name) is None]
    if not missing:
        return ''
    return (
        f'exporting it needs {", ".join(missing)}. Install the extras '
        'aios[torch], aios[mminstall] and aios[optional]'
    )


def shipped_onnx() -> Path:
    """The shipped model as an ONNX file, exported if missing.

    Raises:
        FileNotFoundError: If the file and packages for the export are missing.
        OnnxError: If the export fails.
    """
    path = onnx_path()
    if path.is_file():
        return path
    if missing := missing_exporters():
        raise FileNotFoundError(
            f'{path}: the included model is not exported yet, and {missing}, '
            'or run `python -m aios export aios_s.onnx` in another '
            'environment, and give that file or copy it to this path'
        )
    from .onnx_export import export_model

    make_cache_folder(path.parent)
    _LOGGER.warning('exporting the included model to %s, once', path)
    try:
        export_model(path)
    except FileExistsError:
        if not path.is_file():
            raise
        # Another process exported it in the meantime.
    return path
