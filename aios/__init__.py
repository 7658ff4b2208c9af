# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AiOS for OpenMMLab: bodies, hands and faces in one stage.

Importing this package costs nothing: torch, OpenMMLab and the body-model
files are touched only by the sub-packages that need them.
"""

from .version import __version__

__all__ = ['__version__']
