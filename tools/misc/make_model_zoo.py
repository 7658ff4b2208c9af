#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Write the tables of docs/en/model_zoo.md from the metafile.

The page shows published results next to those measured with this project; both
are edited in configs/aios/metafile.yml only.

Example:
    python tools/misc/make_model_zoo.py            # after a change
    python tools/misc/make_model_zoo.py --check    # exits with 1 if needed
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    markdown_table,
)
from aios.utils.safe_io import atomic_write

ROOT = Path(__file__).resolve().parents[2]
METAFILE = ROOT / 'configs/aios/metafile.yml'
PAGE = ROOT / 'docs/en/model_zoo.md'
BEGIN = '<!-- begin of tables, see tools/misc/make_model_zoo.py -->'
END = '<!-- end of tables -->'
OURS = 'this project'
SHARES = ('precision', 'recall', 'f1')

Result = Mapping[str, Any]


def is_benchmark(model: Mapping[str, Any]) -> bool:
    """Whether a model of the metafile is a benchmark."""
    return 'Published Results' in model or 'Benchmark' in model.get(
        'Metadata', {}
    )


def make_section(model: Mapping[str, Any]) -> str:
    """Heading, config and table of a benchmark.

    Raises:
        ValueError: If results are of several datasets.
    """
    published: list[Result] = model.get('Published Results', [])
    measured: list[Result] = model.get('Results', [])
    names = {result['Dataset'] for result in (*published, *measured)}
    names = names or {model['Metadata']['Benchmark']}
    if len(names) != 1:
        raise ValueError(
            f'{METAFILE}: {model["Name"]}: all results must have the same '
            f'Dataset, got {sorted(names)}'
        )
    lines = [f'## {names.pop()}', '', f'`{model["Config"]}`', '']
    if published or measured:
        lines.append(make_table(published, measured))
    else:
        lines.append('Nothing was measured here yet; see the remarks below.')
    return '\n'.join([*lines, ''])


def make_table(published: Sequence[Result], measured: Sequence[Result]) -> str:
    """A row per metric; the last columns are ours, blank if not measured."""
    columns = [(r['Setting'], r['Metrics']) for r in published]
    columns += [
        (f'{OURS}, {r["Setting"]}' if 'Setting' in r else OURS, r['Metrics'])
        for r in measured
    ] or [(OURS, {})]
    names = dict.fromkeys(name for _, numbers in columns for name in numbers)
    rows = [['', *(title for title, _ in columns)]]
    for name in names:
        cells = (_cell(name, numbers.get(name)) for _, numbers in columns)
        rows.append([name, *cells])
    return markdown_table(rows)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ''
    return f'{value:.2f}' if name in SHARES else f'{value:.1f}'


def make_page(page: str, metafile: str) -> str:
    """The page with new tables.

    Args:
        page: Its text.
        metafile: Text of the metafile.

    Raises:
        ValueError: If the marks of the tables are missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{PAGE}: must contain {BEGIN!r} and {END!r}')
    models = yaml.safe_load(metafile)['Models']
    sections = [make_section(model) for model in models if is_benchmark(model)]
    return f'{before}{begin}\n\n' + '\n'.join(sections) + f'\n{end}{after}'


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> int:
    """Write or check; returns 1 if the page is not up to date."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--check', action='store_true', help='check only, write nothing'
    )
    args = parser.parse_args(argv)
    old = PAGE.read_text()
    new = make_page(old, METAFILE.read_text())
    if old == new:
        return 0
    if args.check:
        print(f'{PAGE} is outdated; run {Path(__file__).name}')
        return 1
    with atomic_write(PAGE, overwrite=True) as stream:
        stream.write(new.encode())
    print(PAGE)
    return 0


if __name__ == '__main__':
    sys.exit(main())
