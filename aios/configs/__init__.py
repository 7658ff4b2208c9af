# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Configs in the new style, of real classes: an editor finds what they name.

Most configs are text, in ``configs/`` of the repository; those here are
equal to the ones of the same name there.  In a config of your own::

    from mmengine.config import read_base

    with read_base():
        from aios.configs.aios_tiny_1xb8_24e_synthetic import *
"""
