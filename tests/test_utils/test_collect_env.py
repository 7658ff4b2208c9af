# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The description of the environment for bug reports."""

from __future__ import annotations

from aios import __version__
from aios.utils import collect_env


def test_names_everything_a_bug_report_needs():
    env = collect_env()
    assert all(isinstance(value, str) for value in env.values())
    assert env['AiOS'].startswith(f'{__version__}+')
    assert env.keys() >= {'Python', 'PyTorch', 'OpenCV', 'smplx'}
    assert env['compiled mmcv operators'] in ('yes', 'no')
