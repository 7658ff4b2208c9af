# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Check the versions of the OpenMMLab packages.

Versions are read from the metadata of the installed distributions without
importing them. An untested version gives a warning with a remedy, not an
error, as it may work.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import metadata

SUPPORTED = {
    'onedl-mmengine': '>=0.10.12,<1.0',
    'onedl-mmcv': '>=2.3.6,<3.0',
    'onedl-mmdetection': '>=3.5.1,<4.0',
}
"""Distribution -> versions, as in requirements/mminstall.txt."""

FAMILIES = {
    'onedl': tuple(SUPPORTED),
    'openmmlab': ('mmengine', 'mmcv', 'mmcv-lite', 'mmdet'),
}
"""The two families of distributions that install the same modules."""

_INSTALL = 'pip install -r requirements/mminstall.txt'


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, ``None`` if it is missing."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_families() -> dict[str, dict[str, str]]:
    """Installed OpenMMLab distributions.

    Returns:
        Family name -> distribution -> version, without missing ones. More
        than one family means that they overwrote each other's files.
    """
    families: dict[str, dict[str, str]] = {}
    for family, names in FAMILIES.items():
        found = {name: installed_version(name) for name in names}
        present = {name: v for name, v in found.items() if v is not None}
        if present:
            families[family] = present
    return families


def find_version_problems() -> list[str]:
    """Compare installed versions with the tested ones.

    Returns:
        One message with a remedy per problem.
    """
    families = installed_families()
    if len(families) > 1:
        names = [name for found in families.values() for name in found]
        return [
            f'{", ".join(names)} install the same modules and overwrite each '
            'other. Uninstall all of them, then run '
            f'`{_INSTALL}`.'
        ]
    if 'openmmlab' in families:
        return [
            'The mmengine/mmcv/mmdet family is installed; this package is '
            f'tested with the onedl family only. If it fails, `{_INSTALL}` in '
            'a fresh environment.'
        ]
    return [
        f'{name} {version} is installed; this package is tested with '
        f'{SUPPORTED[name]}. `{_INSTALL}` installs that.'
        for name, version in families.get('onedl', {}).items()
        if not _fits(version, SUPPORTED[name])
    ]


def _fits(version: str, specifier: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(version, prereleases=True)


@cache
def warn_about_versions() -> None:
    """Warn once per process about untested versions."""
    for problem in find_version_problems():
        warnings.warn(problem, stacklevel=2)
