# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The registry of the project; MMEngine imports it by its scope."""

from mmengine.registry import MODELS as ROOT
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=ROOT,
    scope='wholebody_lab',
    locations=['wholebody_lab.patch_net'],
)
