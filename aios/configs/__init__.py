# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Configs in MMEngine's new style, with imported classes.

Each equals the config of the same name in ``configs/`` of the repository,
where the other configs are.  In a config of your own::

    from mmengine.config import read_base

    with read_base():
        from aios.configs.aios_tiny_1xb8_24e_synthetic import *
"""
