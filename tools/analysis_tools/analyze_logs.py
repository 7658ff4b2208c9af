#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw curves of trainings, or tell how long their steps took.

A log is ``scalars.json`` of a training, or its work folder: then all runs in
it are one log, in the order in which they were started.

Examples:
    python tools/analysis_tools/analyze_logs.py plot_curve work_dirs/a \
        work_dirs/b --keys loss loss_body_bbox --out loss.png
    python tools/analysis_tools/analyze_logs.py plot_curve work_dirs/a \
        --keys whole_body/F1 --out f1.png
    python tools/analysis_tools/analyze_logs.py cal_train_time work_dirs/a
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.safe_io import atomic_write

Records = list[dict[str, Any]]


def build_parser() -> argparse.ArgumentParser:
    """The command line; the commands of mmdet's tool of the same name."""
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    curve = commands.add_parser('plot_curve', help='curves of values by step')
    curve.add_argument('logs', nargs='+', type=Path)
    curve.add_argument(
        '--keys', nargs='+', default=['loss'], help='(default: loss)'
    )
    curve.add_argument(
        '--legend', nargs='+', help='a name per curve (default: LOG KEY)'
    )
    curve.add_argument('--title')
    curve.add_argument('--out', type=Path, required=True, help='picture')
    add_overwrite_option(curve, 'OUT if it exists')
    duration = commands.add_parser('cal_train_time', help='time of the steps')
    duration.add_argument('logs', nargs='+', type=Path)
    duration.add_argument(
        '--include-outliers',
        action='store_true',
        help='with the first line of each epoch, when things warm up',
    )
    return parser


def read_log(path: Path) -> Records:
    """Read the lines of a log.

    Raises:
        ValueError: There is none, or it is no log.
    """
    files = [path] if path.is_file() else sorted(path.rglob('scalars.json'))
    if not files:
        raise ValueError(f'{path}: there is no scalars.json')
    records: Records = []
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f'{file}:{number}: {error}') from error
            if not isinstance(record, dict):
                raise ValueError(f'{file}:{number}: expected an object')
            records.append(record)
    return records


def curve_of(records: Records, key: str) -> tuple[list[float], list[float]]:
    """Steps and values; of a step that was made twice, the last value.

    Raises:
        ValueError: No line has this key.
    """
    values = {r['step']: r[key] for r in records if key in r and 'step' in r}
    if not values:
        known = sorted({name for record in records for name in record})
        raise ValueError(f'no line has {key!r}; there are {", ".join(known)}')
    steps = sorted(values)
    return steps, [values[step] for step in steps]


def plot_curves(args: argparse.Namespace) -> None:
    """Write the picture that ``plot_curve`` is asked for."""
    pairs = list(product(args.logs, args.keys))
    legend = args.legend or [f'{log} {key}' for log, key in pairs]
    if len(legend) != len(pairs):
        raise ValueError(f'--legend: {len(pairs)} names are needed')
    logs = {path: read_log(path) for path in args.logs}
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.subplots()
    for (path, key), label in zip(pairs, legend, strict=True):
        steps, values = curve_of(logs[path], key)
        # Validations are few: show where they are.
        marker = 'o' if len(steps) <= 50 else None
        axes.plot(steps, values, marker=marker, markersize=3, label=label)
    axes.set(xlabel='step', title=args.title or '')
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_write(args.out, args.overwrite) as stream:
        figure.savefig(stream, format=args.out.suffix[1:] or 'png', dpi=120)
    print(args.out)


def train_times(records: Records, with_first: bool) -> dict[int, np.ndarray]:
    """Seconds per step of the logged lines, by epoch (0 if there is none).

    Raises:
        ValueError: No line is left.
    """
    times: dict[int, list[float]] = {}
    for record in records:
        if 'loss' in record and 'time' in record:
            times.setdefault(record.get('epoch', 0), []).append(record['time'])
    begin = 0 if with_first else 1
    rest = {k: np.asarray(v[begin:]) for k, v in times.items() if v[begin:]}
    if not rest:
        raise ValueError(
            'no epoch has lines enough: use a smaller interval of the '
            'LoggerHook, or --include-outliers'
        )
    return rest


def print_train_times(args: argparse.Namespace) -> None:
    """Answer ``cal_train_time``."""
    for path in args.logs:
        times = train_times(read_log(path), args.include_outliers)
        means = {epoch: values.mean() for epoch, values in times.items()}
        slowest = max(means, key=lambda epoch: means[epoch])
        fastest = min(means, key=lambda epoch: means[epoch])
        print(f'----- {path}')
        print(f'slowest epoch {slowest}: {means[slowest]:.4f} s/iter')
        print(f'fastest epoch {fastest}: {means[fastest]:.4f} s/iter')
        print(f'std over epochs: {np.std(list(means.values())):.4f}')
        print(f'average: {np.mean(list(means.values())):.4f} s/iter')


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    if args.command == 'plot_curve':
        plot_curves(args)
    else:
        print_train_times(args)


if __name__ == '__main__':
    main()
