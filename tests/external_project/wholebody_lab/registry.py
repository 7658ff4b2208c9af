# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The one registry it needs; MMEngine imports it for ``wholebody_lab.…``."""

from mmengine.registry import MODELS as ROOT
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=ROOT,
    scope='wholebody_lab',
    locations=['wholebody_lab.patch_net'],
)
