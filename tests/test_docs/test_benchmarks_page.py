# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tables of measurements stand behind commands that can be typed."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/en/benchmarks.md'
HISTORY = '<!-- history -->'
PART = re.compile(
    r'<!-- suite: (?P<name>[\w-]+) -->\n'
    r'```shell\n(?P<command>.*?)\n```\n'
    r'.*?<!-- end of suite -->',
    re.DOTALL,
)
# A cell that begins with a number, bold or not.
NUMBER = re.compile(r'\|\s*\**[<≤≥~]?\s*\d')


@cache
def load_tool(path: str) -> ModuleType:
    return load_script(path)


def parts_of(page: str) -> list[re.Match[str]]:
    return list(PART.finditer(page))


def loose_numbers(page: str) -> list[str]:
    """Tables of numbers that no command makes and that are no history."""
    for part in parts_of(page):
        page = page.replace(part[0], '')
    blocks = page.split('\n\n')
    return [
        block
        for before, block in zip(['', *blocks], blocks, strict=False)
        if '|---' in block
        and NUMBER.search(block)
        and HISTORY not in before + block
    ]


def commands() -> dict[str, list[str]]:
    """Words of each command of each part of all pages, by page and name."""
    found = {}
    for page in sorted((ROOT / 'docs/en').rglob('*.md')):
        for part in parts_of(page.read_text()):
            lines = part['command'].replace('\\\n', ' ')
            for index, line in enumerate(lines.split('&&')):
                words = shlex.split(line)
                name = f'{page.stem}: {part["name"]}, {index}'
                assert name not in found, 'names are unique in a page'
                found[name] = [w for w in words if not w.startswith('>')]
    return found


def test_every_number_has_its_command():
    text = PAGE.read_text()
    parts = parts_of(text)
    assert len(parts) == text.count('<!-- suite:') > 0
    assert text.count('<!-- end of suite -->') == len(parts)
    assert loose_numbers(text) == []


def test_loose_numbers_are_found():
    table = '| a | ms |\n|---|---|\n| x | **12** |\n'
    assert loose_numbers(f'text\n\n{table}') == [table]
    assert loose_numbers(f'{HISTORY}\nonce\n\n{table}') == []
    assert loose_numbers(table.replace('**12**', 'CUDA 12')) == []
    command = '<!-- suite: x -->\n```shell\nls\n```\n'
    assert not loose_numbers(f'{command}\n{table}\n<!-- end of suite -->')


@pytest.mark.parametrize('words', commands().values(), ids=commands())
def test_commands_parse(words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    while '=' in words[0]:  # variables of the environment
        words = words[1:]
    python, script, *options = words
    assert python == 'python'
    tool = load_tool(script)
    if hasattr(tool, 'parse_args'):
        tool.parse_args(options)
    else:
        tool.build_parser().parse_args(options)
    configs = [word for word in options if word.startswith('configs/')]
    assert [name for name in configs if not Path(name).is_file()] == []
