# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The documentation builds, and what it shows is true."""

from __future__ import annotations

import doctest
import multiprocessing
import re
import sys
from pathlib import Path

import pytest
from script_loader import page_blocks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs/en'
PAGES = [ROOT / 'README.md', *sorted(DOCS.rglob('*.md'))]
OTHER_PAGES = [
    ROOT / name
    for name in ('CONTRIBUTING.md', 'SECURITY.md', 'data/README.md')
]
# Files and folders of ours that a page names anywhere.
NAMED = re.compile(
    r'(?<![\w/.:-])'
    r'((?:aios|configs|demo|docs|projects|tests|tools)/[\w./-]*\w)'
)
# Written at run time or by a build, or of the original AiOS.
NOT_IN_GIT = re.compile(r'aios/(?:\.mim|weights/)|demo/OUTPUT/|docs/en/_build')
OPTION = re.compile(r'(?<=\s)--[a-z][\w-]+')
# Of other programs.
FOREIGN = {
    '--constraint', '--editable', '--force-reinstall', '--index-url',
    '--no-build-isolation', '--no-cache-dir', '--no-deps', '--config',
    '--python', '--dest', '--field', '--model', '--valid-config',
    '--gpus', '--ipc', '--rm', '--standalone', '--nproc-per-node',
    '--background',  # Blender's
}  # fmt: skip


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    'builder', ['dummy', pytest.param('html', marks=pytest.mark.slow)]
)
def test_site_builds_without_warnings(
    builder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Links between pages and into them are checked, and every docstring."""
    reason = 'requirements/docs.txt'
    sphinx = pytest.importorskip('sphinx.cmd.build', reason=reason)
    options = '-q', '-W', '--keep-going', '-b', builder
    # A fork has imported most of what is documented.
    fork = multiprocessing.get_context('fork')
    arguments = [*options, str(DOCS), str(tmp_path)]
    process = fork.Process(target=lambda: sys.exit(sphinx.main(arguments)))
    process.start()
    process.join()
    assert process.exitcode == 0, capfd.readouterr().err
    trees = tmp_path / '.doctrees'
    assert b'AiOSInferencer' in (trees / 'api/apis.doctree').read_bytes()
    assert (trees / 'changelog.doctree').is_file()
    assert (tmp_path / 'changelog.html').is_file() == (builder == 'html')


def _examples() -> list:
    found = [
        (page, block)
        for page in PAGES
        for block in page_blocks(page, 'python')
        if '>>>' in block
    ]
    assert len(found) >= 4
    return [
        pytest.param(block, id=f'{_name(page)}-{number}')
        for number, (page, block) in enumerate(found)
    ]


@pytest.mark.parametrize('block', _examples())
def test_examples(block: str) -> None:
    example = doctest.DocTestParser().get_doctest(block, {}, 'page', None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert result.attempted and not result.failed, ''.join(report)


@pytest.mark.parametrize('page', PAGES + OTHER_PAGES, ids=_name)
def test_pages_name_files_that_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    named = [name for name in named if not NOT_IN_GIT.match(name)]
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.fixture(scope='module')
def sources() -> str:
    """All of our code that may define an option."""
    files = [
        path
        for folder in ('aios', 'demo', 'tools')
        for pattern in ('*.py', '*.sh')
        for path in (ROOT / folder).rglob(pattern)
        if '.mim' not in path.parts
    ]
    return '\n'.join(path.read_text() for path in files)


@pytest.mark.parametrize('page', PAGES, ids=_name)
def test_commands_have_options_that_exist(page: Path, sources: str) -> None:
    for block in page_blocks(page, 'bash'):
        code = re.sub(r'#.*', '', block)
        for option in set(OPTION.findall(code)) - FOREIGN:
            assert f"'{option}'" in sources, option
