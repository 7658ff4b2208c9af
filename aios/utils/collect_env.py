# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Describe the environment, for bug reports and log files."""

from __future__ import annotations


def collect_env() -> dict[str, str]:
    """Collect versions of the system, torch, OpenMMLab and this package.

    Returns:
        Field name -> description, in the order in which to show them. The
        first fields are those of :func:`mmengine.utils.dl_utils.collect_env`.
    """
    from mmengine.utils import get_git_hash
    from mmengine.utils.dl_utils import collect_env as collect_base_env

    from aios.version import __version__

    from .mmcv_ext import has_compiled_ops
    from .versions import installed_families, installed_version

    env = {key: str(value) for key, value in collect_base_env().items()}
    for found in installed_families().values():
        env.update(found)
    env['compiled mmcv operators'] = 'yes' if has_compiled_ops() else 'no'
    env['smplx'] = installed_version('smplx') or 'not installed'
    env['AiOS'] = f'{__version__}+{get_git_hash()[:7]}'
    return env
