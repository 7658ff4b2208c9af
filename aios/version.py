# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Version of the package: the only place where it is written down."""

from __future__ import annotations

__all__ = ['__version__', 'parse_version_info', 'version_info']

__version__ = '0.1.0'


def parse_version_info(version: str) -> tuple[int | str, ...]:
    """Split a version into parts that compare in the right order.

    Args:
        version: ``'major.minor.patch'``, optionally followed by ``rcN``.

    Returns:
        The numbers, then ``'rcN'`` for a release candidate:
        ``'1.3.0rc1'`` gives ``(1, 3, 0, 'rc1')``.

    Raises:
        ValueError: If a part is not a number.
    """
    release, mark, candidate = version.partition('rc')
    numbers = tuple(int(part) for part in release.split('.'))
    return (*numbers, mark + candidate) if mark else numbers


version_info = parse_version_info(__version__)
