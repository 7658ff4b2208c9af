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
PART = re.compile(
    r'<!-- suite: (?P<name>[\w-]+) -->\n'
    r'```shell\n(?P<command>.*?)\n```\n'
    r'.*?<!-- end of suite -->',
    re.DOTALL,
)


@cache
def load_tool(path: str) -> ModuleType:
    return load_script(path)


def parts_of(page: str) -> list[re.Match[str]]:
    return list(PART.finditer(page))


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
