#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Report errors per joint and per part as tables and bar plots.

Reads the predictions of tools/test.py --out and the labels of the config's
dataset; images are not needed.

Example:
    python tools/analysis_tools/error_by_joint.py CONFIG predictions.pkl \
        --out work_dirs/NAME/errors
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aios.evaluation.agora.reader import dumped_records
from aios.evaluation.analysis import (
    NEEDED,
    PARTS,
    JointErrors,
    compare_joints,
)
from aios.evaluation.analysis_cli import (
    add_common_options,
    build_dataset,
    check_outputs,
)
from aios.utils.command_line import csv_table, errors_in_one_line, make_parser
from aios.utils.json_record import write_record
from aios.utils.safe_io import atomic_write

OUTPUTS = ('errors.json', 'joints.csv', 'joints.png')


def write_results(errors: JointErrors, folder: Path, overwrite: bool) -> None:
    """JSON, CSV and plot."""
    joints, parts = errors.of_joints(), errors.of_parts()
    content = {
        'unit': 'mm',
        'matched': len(errors.scores),
        'missed': len(errors.missed),
        'false-positives': errors.wrong,
        'parts': parts,
        'joints': joints,
    }
    write_record(folder / OUTPUTS[0], content, overwrite)
    with atomic_write(folder / OUTPUTS[1], overwrite) as stream:
        stream.write(csv_table(joints).encode())
    with atomic_write(folder / OUTPUTS[2], overwrite) as stream:
        plot(joints, parts, stream)


def plot(
    joints: Sequence[dict[str, Any]],
    parts: Sequence[dict[str, Any]],
    stream: Any,
) -> None:
    """Plot a row of bars per part; lines are the 90th percentiles."""
    from matplotlib.figure import Figure

    shown = [part for part in parts if part['part'] != 'all']
    figure = Figure(
        figsize=(14, 3 * len(shown)), dpi=100, layout='constrained'
    )
    rows = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    colors = dict(zip(PARTS, ('C0', 'C1', 'C2', 'C3'), strict=True))
    for axes, part in zip(rows, shown, strict=True):
        members = [j for j in joints if j['part'] == part['part']]
        places = range(len(members))
        means = [joint['mean'] for joint in members]
        tails = [max(0, j['p90'] - j['mean']) for j in members]
        axes.bar(
            places,
            means,
            yerr=([0] * len(members), tails),
            color=colors[part['part']],
            error_kw={'alpha': 0.5, 'lw': 1},
        )
        axes.axhline(part['mean'], ls='--', c='k', lw=1)
        axes.set_title(
            f'{part["part"]}: mean {part["mean"]:.1f} mm, 90 % below '
            f'{part["p90"]:.1f} mm ({part["persons"]} persons)',
            loc='left',
            fontsize=10,
        )
        names = [joint['joint'] for joint in members]
        axes.set_xticks(places, names, rotation=90, fontsize=7)
        axes.set_xlim(-0.7, len(members) - 0.3)
        axes.set_ylabel('mm')
        axes.grid(axis='y', alpha=0.3)
    figure.savefig(stream, format='png')


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    add_common_options(parser)
    args = parser.parse_args(argv)
    check_outputs(args, OUTPUTS)
    errors = compare_joints(
        build_dataset(args),
        dumped_records(args.predictions, NEEDED),
        args.score_thr,
        args.iou_thr,
        args.align,
    )
    if not errors.known.any():
        sys.exit(f'error: no matched person has 3-D joints ({errors.counts})')
    write_results(errors, args.out, args.overwrite)
    print(f'{"part":8s}{"persons":>9s}{"mean":>8s}{"median":>8s}{"p90":>8s}')
    for row in errors.of_parts():
        numbers = ''.join(f'{row[k]:8.1f}' for k in ('mean', 'median', 'p90'))
        print(f'{row["part"]:8s}{row["persons"]:9d}{numbers}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
