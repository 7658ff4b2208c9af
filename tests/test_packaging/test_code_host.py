# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What a code host reads: workflows, forms of issues, Read the Docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
HOST = ROOT / '.github'
FILES = [*sorted(HOST.rglob('*.y*ml')), ROOT / '.readthedocs.yml']
FORMS = sorted(HOST.glob('ISSUE_TEMPLATE/[!c]*.yml'))
TEXTS = [*FILES, *HOST.rglob('*.md')]
NAMED = re.compile(
    r'(?<![\w./-])'
    r'((?:tools|docs|tests|configs|demo|requirements)/[\w./*-]*[\w*]'
    r'|[A-Z]+\.md)'
)
# Appear when something runs.
MADE = {'docs/en/_build'}
TESTS = 'bash tools/run_tests.sh'

pytestmark = pytest.mark.skipif(
    not HOST.is_dir(), reason='needs a checkout: these files are not shipped'
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(HOST.glob('workflows/*.yml')):
        for name, job in _read(path)['jobs'].items():
            yield f'{path.stem}/{name}', job


@pytest.mark.parametrize('path', FILES, ids=_name)
def test_parses(path: Path):
    assert isinstance(_read(path), dict)


@pytest.mark.parametrize('path', TEXTS, ids=_name)
def test_what_is_named_exists(path: Path):
    for name in set(NAMED.findall(path.read_text())) - MADE:
        assert list(ROOT.glob(name)), name


def test_folders_of_dependabot_exist():
    for update in _read(HOST / 'dependabot.yml')['updates']:
        folder = ROOT / update['directory'].lstrip('/')
        assert folder.is_dir(), folder


def test_the_command_of_the_readme_is_what_runs():
    assert TESTS in (ROOT / 'README.md').read_text()
    job = dict(_jobs())['test/linux-cpu']
    assert TESTS in [step.get('run') for step in job['steps']]


def test_every_promised_python_is_tested():
    text = (ROOT / 'pyproject.toml').read_text()
    promised = set(re.findall(r'Python :: (3\.\d+)', text))
    (needed,) = re.findall(r"requires-python = '(.+)'", text)
    job = dict(_jobs())['test/linux-cpu']
    tested = job['strategy']['matrix']['python']
    assert promised <= set(tested)
    assert all(SpecifierSet(needed).contains(version) for version in tested)


@pytest.mark.parametrize('job', [pytest.param(j, id=n) for n, j in _jobs()])
def test_jobs_end_and_keep_no_token(job: dict[str, Any]):
    assert job['timeout-minutes'] <= 180
    for step in job['steps']:
        if 'actions/checkout' in step.get('uses', ''):
            assert step['with']['persist-credentials'] is False


@pytest.mark.parametrize('path', FORMS, ids=_name)
def test_forms_have_what_the_host_requires(path: Path):
    form = _read(path)
    assert form['name'] and form['description']
    inputs = [item for item in form['body'] if item['type'] != 'markdown']
    ids = [item['id'] for item in inputs]
    assert ids and len(ids) == len(set(ids))
    assert all(item['attributes']['label'] for item in inputs)


def test_bugs_come_with_the_output_of_the_doctor():
    body = _read(HOST / 'ISSUE_TEMPLATE/bug_report.yml')['body']
    (item,) = [item for item in body if item.get('id') == 'doctor']
    assert 'python -m aios doctor' in item['attributes']['label']
    assert item['validations']['required'] is True
