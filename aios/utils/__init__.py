# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Helpers around the environment; importing this imports no torch."""

from .collect_env import collect_env
from .setup_env import register_all_modules

__all__ = ['collect_env', 'register_all_modules']
