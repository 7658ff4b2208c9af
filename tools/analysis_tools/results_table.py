#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Tabulate metrics of several runs as CSV, LaTeX or Markdown.

Reads JSON files: those of tools/test.py in WORK_DIR/TIMESTAMP, those of
tools/eval_agora.py --out, or any dictionary of numbers.

Example:
    python tools/analysis_tools/results_table.py a=run_a.json b=run_b.json \
        --metrics 'agora/f1' 'agora/*NMVE' --format latex --out table.tex
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from aios.utils.command_line import (
    add_overwrite_option,
    csv_table,
    errors_in_one_line,
    make_parser,
    markdown_table,
    number,
)
from aios.utils.safe_io import atomic_write

Row = dict[str, float]
SUFFIXES = {'.csv': 'csv', '.tex': 'latex', '.md': 'markdown'}
# Shares, of which larger is better; of all others smaller is.
SHARES = (
    *('precision', 'recall', 'f1', 'AP', 'AR', 'PCK', 'found', 'gain'),
    *('HOTA', 'DetA', 'AssA', 'LocA', 'MOTA', 'MOTP', 'IDF1', 'IDP', 'IDR'),
)
COUNTS = (
    *('images', 'persons', 'predictions', 'matched', 'missed', 'measured'),
    *('false-positives', 'registered-meshes', 'PCK-joints'),
    *('frames', 'boxes', 'sequences'),
)
_LATEX = str.maketrans(
    {letter: f'\\{letter}' for letter in '_%&#${}'}
    | {
        '\\': r'\textbackslash{}',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
    }
)


def read_metrics(path: Path) -> dict[str, float]:
    """Numbers of a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no numbers, or NaN.
    """
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: not JSON ({error})') from error
    if isinstance(content, dict) and isinstance(content.get('metrics'), dict):
        content = content['metrics']
    if not isinstance(content, dict):
        raise ValueError(f'{path}: must hold a dictionary of numbers')
    numbers = {
        str(name): value
        for name, value in content.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    if not numbers:
        raise ValueError(f'{path}: must hold a dictionary of numbers')
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ValueError(f'{path}: {name} is {value}')
    return numbers


def read_rows(sources: Sequence[str]) -> dict[str, dict[str, float]]:
    """Metrics by the name of the row; ``NAME=FILE`` or ``FILE``."""
    rows: dict[str, dict[str, float]] = {}
    for source in sources:
        name, separator, file = source.partition('=')
        if not separator or Path(source).is_file():
            name, file = Path(source).stem, source
        if name in rows:
            raise ValueError(
                f'{file}: a row is already named {name!r}; set names with '
                'NAME=FILE'
            )
        rows[name] = read_metrics(Path(file))
    return rows


def choose_columns(
    rows: Mapping[str, Row], patterns: Sequence[str]
) -> list[str]:
    """Metrics that match a pattern, in the order of the patterns."""
    names = list(dict.fromkeys(n for row in rows.values() for n in row))
    columns: list[str] = []
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise ValueError(
                f'--metrics {pattern!r}: matches no metric of any file; '
                f'available: {", ".join(names[:12])} ...'
            )
        columns += [name for name in found if name not in columns]
    return columns


def best_of(rows: Mapping[str, Row], column: str) -> float | None:
    """The best number of a column of several rows; ``None`` for counts."""
    values = [row[column] for row in rows.values() if column in row]
    if len(values) < 2 or is_count(column):
        return None
    return max(values) if is_share(column) else min(values)


def is_share(column: str) -> bool:
    """Whether a metric is in [0, 1], 1 being best."""
    name = _bare_name(column)
    return name.startswith(SHARES) or name == 'F1'


def is_count(column: str) -> bool:
    """Whether a metric counts something."""
    return _bare_name(column).startswith(COUNTS)


def _bare_name(column: str) -> str:
    return column.rpartition('/')[2].removeprefix('kid-')


def cells(
    rows: Mapping[str, Row],
    columns: Sequence[str],
    digits: int,
    bold: str,
    blank: str,
) -> list[list[str]]:
    """Cells of the table without head; the best of a column is bold."""
    best = {name: best_of(rows, name) for name in columns}

    def cell(value: float | None, column: str) -> str:
        if value is None:
            return blank
        text = f'{value:g}'
        if isinstance(value, float) and not is_count(column):
            text = f'{value:.{digits + is_share(column)}f}'
        return bold.format(text) if value == best[column] else text

    return [
        [name, *(cell(row.get(column), column) for column in columns)]
        for name, row in rows.items()
    ]


def as_csv(rows: Mapping[str, Row], columns: Sequence[str], _: int) -> str:
    """CSV with all digits; missing cells are empty."""
    return csv_table(
        {'name': name} | {column: row.get(column, '') for column in columns}
        for name, row in rows.items()
    )


def as_markdown(
    rows: Mapping[str, Row], columns: Sequence[str], digits: int
) -> str:
    """A table for GitHub."""
    body = cells(rows, columns, digits, '**{}**', '')
    return markdown_table([['', *columns], *body]) + '\n'


def as_latex(
    rows: Mapping[str, Row], columns: Sequence[str], digits: int
) -> str:
    """A ``tabular`` for the package booktabs."""
    names = {name.translate(_LATEX): row for name, row in rows.items()}
    body = cells(names, columns, digits, r'\textbf{{{}}}', '--')
    head = ['', *(column.translate(_LATEX) for column in columns)]
    lines = [
        rf'\begin{{tabular}}{{l{"r" * len(columns)}}}',
        r'\toprule',
        rf'{" & ".join(head)} \\',
        r'\midrule',
        *(rf'{" & ".join(line)} \\' for line in body),
        r'\bottomrule',
        r'\end{tabular}',
    ]
    return '\n'.join(lines) + '\n'


FORMATS = {
    'csv': as_csv,
    'latex': as_latex,
    'markdown': as_markdown,
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'files',
        nargs='+',
        metavar='[NAME=]FILE.json',
        help='metrics files, one per row',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=['*'],
        metavar='PATTERN',
        help='metrics to tabulate, such as agora/f1 or *MVE (default: all)',
    )
    parser.add_argument(
        '--format',
        choices=list(FORMATS),
        help='output format (default: by the suffix of --out, else markdown)',
    )
    parser.add_argument(
        '--digits',
        type=number(int, 0),
        default=1,
        help='decimals in LaTeX and Markdown; ratios have one more (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='output file (default: print the table)',
    )
    add_overwrite_option(parser, 'an older file')
    return parser.parse_args(argv)


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    kind = args.format
    if kind is None:
        suffix = args.out.suffix if args.out else '.md'
        if suffix not in SUFFIXES:
            raise ValueError(
                f'{args.out}: unknown suffix, allowed are '
                f'{", ".join(SUFFIXES)}; or set --format'
            )
        kind = SUFFIXES[suffix]
    rows = read_rows(args.files)
    columns = choose_columns(rows, args.metrics)
    text = FORMATS[kind](rows, columns, args.digits)
    if args.out is None:
        print(text, end='')
        return
    with atomic_write(args.out, args.overwrite) as stream:
        stream.write(text.encode())


if __name__ == '__main__':
    main()
