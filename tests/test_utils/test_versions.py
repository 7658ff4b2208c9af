# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The check of the OpenMMLab packages warns, and says what to do."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from aios.utils import versions

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch):
    """Pretend that exactly these distributions are installed."""

    def install(**packages: str) -> None:
        found = {k.replace('_', '-'): v for k, v in packages.items()}
        monkeypatch.setattr(versions, 'installed_version', found.get)
        versions.warn_about_versions.cache_clear()

    yield install
    versions.warn_about_versions.cache_clear()


def test_supported_versions_are_the_required_ones():
    lines = (ROOT / 'requirements/mminstall.txt').read_text().splitlines()
    required = {r.name: r.specifier for r in map(Requirement, lines)}
    assert required == {
        name: SpecifierSet(text) for name, text in versions.SUPPORTED.items()
    }


def test_tested_versions_give_no_problem(pretend):
    pretend(onedl_mmengine='0.10.12', onedl_mmcv='2.3.6')
    assert versions.find_version_problems() == []


def test_nothing_installed_is_not_a_version_problem(pretend):
    pretend()
    assert versions.find_version_problems() == []
    assert versions.installed_families() == {}


@pytest.mark.parametrize('version', ['2.3.5', '3.0', '3.1.0rc1'])
def test_other_versions_are_named_with_the_fix(pretend, version: str):
    pretend(onedl_mmcv=version)
    (problem,) = versions.find_version_problems()
    assert f'onedl-mmcv {version}' in problem
    assert 'pip install -r requirements/mminstall.txt' in problem


def test_two_families_at_once(pretend):
    pretend(onedl_mmcv='2.3.6', mmcv='2.1.0')
    (problem,) = versions.find_version_problems()
    assert 'overwrite each other' in problem
    assert set(versions.installed_families()) == {'onedl', 'openmmlab'}


def test_the_other_family_alone(pretend):
    pretend(mmengine='0.10.7', mmdet='3.3.0')
    (problem,) = versions.find_version_problems()
    assert 'fresh environment' in problem


def test_warns_once_per_process(pretend):
    pretend(onedl_mmengine='0.9')
    with pytest.warns(UserWarning, match=r'onedl-mmengine 0\.9'):
        versions.warn_about_versions()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        versions.warn_about_versions()
