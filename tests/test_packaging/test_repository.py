# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Promises that the files of the repository make to each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from script_loader import run_python

from aios import __version__

ROOT = Path(__file__).parents[2]
FOLDERS = ('aios', 'configs', 'demo', 'tests', 'tools')
GROUPS = ('build', 'runtime', 'mminstall', 'optional', 'tests', 'docs')


def _python_files() -> list[Path]:
    files = [ROOT / 'setup.py']
    for folder in FOLDERS:
        files += (ROOT / folder).rglob('*.py')
    hidden = ('.mim', 'third_party', '__pycache__')
    return [f for f in files if not any(part in f.parts for part in hidden)]


def _requirements(name: str) -> list[Requirement]:
    lines = (ROOT / f'requirements/{name}.txt').read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith('#')]
    return [Requirement(line) for line in lines]


def test_every_file_says_its_license():
    line = '# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.'

    def has_line(path: Path) -> bool:
        lines = path.read_text().splitlines()
        return line in lines[: 2 if lines[0].startswith('#!') else 1]

    files = _python_files()
    assert len(files) > 40
    assert [path for path in files if not has_line(path)] == []


def test_every_test_file_has_a_name_of_its_own():
    """Pytest imports them by name, and refuses the second one."""
    names = [path.name for path in (ROOT / 'tests').rglob('test_*.py')]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize('command', ['check', 'format --check'])
def test_style(command: str):
    run_python('-m', 'ruff', *command.split(), '.')


@pytest.mark.slow
def test_types():
    run_python('-m', 'mypy')


@pytest.mark.parametrize('group', GROUPS)
def test_what_is_required_is_tested(group: str):
    """Each requirement has a tested version, and it is an allowed one."""
    pins = {pin.name: pin.specifier for pin in _requirements('constraints')}
    for requirement in _requirements(group):
        if requirement.name in ('tqdm', 'wheel', 'onedl-mim'):
            continue  # any version does
        (pin,) = pins[requirement.name]
        assert pin.operator == '=='
        assert requirement.specifier.contains(pin.version), requirement


def test_light_requirements_are_among_the_full_ones():
    full = {str(x) for x in _requirements('runtime')}
    assert {str(x) for x in _requirements('base')} < full
    optional = {str(x) for x in _requirements('optional')}
    assert {str(x) for x in _requirements('onnx')} < optional


def test_requirements_txt_lists_the_needed_groups():
    text = (ROOT / 'requirements.txt').read_text()
    groups = re.findall(r'-r requirements/(\w+)\.txt', text)
    assert groups == ['build', 'runtime', 'mminstall', 'tests', 'docs']


def test_release_files_agree_on_the_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == __version__
    assert f'## {__version__}' in (ROOT / 'CHANGELOG.md').read_text()


def test_model_index_names_files_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert set(index) == {'Import'}
    for name in index['Import']:
        assert (ROOT / name).is_file()


def _linking_pages() -> list[Path]:
    return [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')]


@pytest.mark.parametrize(
    'page', _linking_pages(), ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_between_pages(page: Path):
    text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
    for link in re.findall(r'\]\(([^)\s]+)\)', text):
        target, _, _ = link.partition('#')
        if target and '://' not in target and 'mailto:' not in target:
            assert (page.parent / target).exists(), link
