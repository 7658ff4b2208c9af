#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Run AGORA's official evaluation on stored predictions.

Predictions are a submission (predictions.zip, or its folder) or the output of
tools/test.py --out. A sweep over thresholds needs scores, which a submission
has in scores.json next to the archive.

Example:
    python tools/eval_agora.py work_dirs/agora/predictions.zip \
        --gt data/datasets/agora/validation.npz
    python tools/eval_agora.py predictions.pkl \
        --gt data/datasets/agora/gt_dataframe --sweep --out work_dirs/sweep
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.evaluation.agora import (
    AGORAEvaluator,
    AGORAGroundTruth,
    AGORAPersons,
    SubmittedBodies,
    load_part_vertices,
    read_dump,
    read_submission,
)
from aios.evaluation.analysis_cli import check_outputs
from aios.evaluation.functional import AGORAProtocol, agora_bins
from aios.utils.command_line import (
    add_body_models_option,
    add_overwrite_option,
    csv_table,
    errors_in_one_line,
    make_parser,
    number,
)
from aios.utils.safe_io import atomic_write

SWEEP = np.round(np.arange(0.05, 0.96, 0.05), 2).tolist()
DEFAULT_THR = 0.5  # of dumps, which hold all candidates
OUTPUTS = ('results.json', 'sweep.csv', 'sweep.png')
PARTS = ('body', 'lhand', 'rhand', 'face', 'fullbody')
KINDS = ('MVE', 'MPJPE', 'NMVE', 'NMJE')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add(
        'predictions',
        metavar='PRED',
        type=Path,
        help='predictions.zip, its extracted folder, or a .pkl file of '
        'tools/test.py --out',
    )
    add(
        '--gt',
        required=True,
        type=Path,
        metavar='PATH',
        help='folder of the data frames *_withjv.pkl, or the .npz file of '
        'dataset_converters/agora_ground_truth.py',
    )
    add(
        '--score-thr',
        type=number(float, 0, 1),
        metavar='T',
        help='minimum score of predictions (default: 0.5 for a .pkl file, no '
        'limit for a submission)',
    )
    add(
        '--sweep',
        nargs='*',
        type=number(float, 0, 1),
        metavar='T',
        help='also evaluate at these thresholds (default: 0.05 to 0.95)',
    )
    add(
        '--out',
        type=Path,
        metavar='DIR',
        help='write results.json with metrics by occlusion, orientation and '
        'position; with --sweep also sweep.csv and sweep.png',
    )
    add_overwrite_option(parser, 'older results')
    add_protocol_options(parser)
    return parser.parse_args(argv)


def add_protocol_options(parser: argparse.ArgumentParser) -> None:
    """Add options of the protocol and files of the evaluation."""
    add = parser.add_argument
    add(
        '--protocol',
        choices=[protocol.value for protocol in AGORAProtocol],
        default='official',
        help='corrected: without the quirks of the official tool',
    )
    add(
        '--all-images',
        action='store_true',
        help='also evaluate images without bfh or smplx in their path',
    )
    add_body_models_option(parser)
    add(
        '--body-vertices',
        metavar='FILE',
        help="body_verts_smplx.npy of AGORA's tool, or 'complement' for all "
        'vertices except hands and face (default: next to the body '
        'models)',
    )
    add(
        '--kid-template',
        metavar='FILE',
        help='smplx_kid_template.npy, if children were submitted with '
        'kid_flag',
    )


def read_persons(
    args: argparse.Namespace,
) -> tuple[dict[str, AGORAPersons], bool]:
    """Predictions by image, and whether scores are known."""
    bodies = SubmittedBodies(args.body_models, args.kid_template)
    if args.predictions.suffix in ('.pkl', '.pickle'):
        return read_dump(args.predictions, bodies), True
    submission = read_submission(args.predictions, bodies)
    if submission.ignored:
        print(
            f'ignored {len(submission.ignored)} .pkl files outside '
            f'predictions/ (the first: {submission.ignored[0]})',
            file=sys.stderr,
        )
    return submission.persons, submission.scored


def read_thresholds(args: argparse.Namespace, scored: bool) -> list[float]:
    """The threshold of the result, then those of the sweep."""
    is_dump = args.predictions.suffix in ('.pkl', '.pickle')
    first = args.score_thr
    if not scored and (args.sweep is not None or first is not None):
        raise ValueError(
            f'{args.predictions}: thresholds need scores, but there is no '
            'scores.json next to the archive (AGORASubmission writes it)'
        )
    if first is None:
        first = DEFAULT_THR if is_dump else -np.inf
    sweep = args.sweep
    if sweep is not None:
        sweep = sorted(sweep) or SWEEP
    return [first, *(sweep or [])]


def evaluate(
    args: argparse.Namespace,
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Results with bins, and a row per threshold of the sweep."""
    persons, scored = read_persons(args)
    thresholds = read_thresholds(args, scored)
    evaluator = AGORAEvaluator(
        load_part_vertices(args.body_models, args.body_vertices),
        AGORAProtocol(args.protocol),
        thresholds,
    )
    truth = AGORAGroundTruth(args.gt, not args.all_images)
    known = sum(image.name in persons for image in truth)
    if not known:
        raise ValueError(
            f'{args.predictions}: none of its {len(persons)} images (such as '
            f'{next(iter(persons), "-")}) is among the {len(truth)} images '
            f'of {args.gt} (such as {next(iter(truth)).name})'
        )
    print(
        f'{known} of {len(truth)} images of the ground truth have '
        f'predictions; {len(persons) - known} other images are ignored',
        file=sys.stderr,
    )
    records = [
        evaluator.compare(image, persons.get(image.name))
        for image in tqdm(truth, total=len(truth), desc='images')
    ]
    bins = agora_bins(evaluator.table(records))
    records += [
        evaluator.without_truth(found)
        for name, found in persons.items()
        if name not in truth
    ]
    results: dict[str, Any] = {
        'protocol': args.protocol,
        'score_thr': thresholds[0] if np.isfinite(thresholds[0]) else None,
        'metrics': evaluator.summary(records),
        'bins': bins,
    }
    rows = [
        {'threshold': threshold, **evaluator.summary(records, index)}
        for index, threshold in enumerate(thresholds[1:], 1)
    ]
    return results, rows


def print_results(metrics: Mapping[str, float]) -> None:
    """Counts, and a table of errors."""
    names = ('precision', 'recall', 'f1', 'persons', 'matched', 'missed')
    left_out = ('predictions-not-finite', 'predictions-without-ground-truth')
    for name in (*names, 'false-positives', *left_out):
        print(f'{name:32s} {metrics[name]:g}')
    for prefix in ('', 'kid-'):
        if f'{prefix}f1' not in metrics:
            continue
        print(f'\n{prefix or "all "}'.rstrip('- ').ljust(17), end='')
        print(''.join(f'{kind:>8s}' for kind in KINDS))
        for part in PARTS:
            cells = (metrics.get(f'{prefix}{part}-{kind}') for kind in KINDS)
            text = (f'{"-" if c is None else f"{c:.1f}":>8s}' for c in cells)
            print(f'{part:16s}' + ''.join(text))


def write_outputs(
    folder: Path,
    results: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    overwrite: bool,
) -> None:
    """JSON, and table and plot of the sweep."""
    with atomic_write(folder / OUTPUTS[0], overwrite) as stream:
        content = dict(results, sweep=list(rows))
        text = json.dumps(content, indent=2, allow_nan=False)
        stream.write(f'{text}\n'.encode())
    if not rows:
        for name in OUTPUTS[1:]:
            (folder / name).unlink(missing_ok=True)  # of older results
        return
    with atomic_write(folder / OUTPUTS[1], overwrite) as stream:
        stream.write(csv_table(rows).encode())
    with atomic_write(folder / OUTPUTS[2], overwrite) as stream:
        plot_sweep(rows, stream)


def plot_sweep(rows: Sequence[Mapping[str, float]], stream: Any) -> None:
    """Plot detection (left) and errors (right) by threshold."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=120, layout='constrained')
    left, right = figure.subplots(1, 2)
    for name in ('precision', 'recall', 'f1'):
        style = '-' if name == 'f1' else '--'
        values = [row[name] for row in rows]
        label = 'F1' if name == 'f1' else name
        left.plot([r['threshold'] for r in rows], values, style, label=label)
    left.set(ylim=(0, 1.02), ylabel='share', title='Detection')
    for part, color in (('fullbody', 'tab:blue'), ('body', 'tab:orange')):
        for kind, style in (('NMVE', '-'), ('MVE', '--')):
            points = [
                (row['threshold'], row[f'{part}-{kind}'])
                for row in rows
                if f'{part}-{kind}' in row
            ]
            if not points:
                continue
            label = f'{part} {kind}'
            if kind == 'NMVE':
                best = min(points, key=lambda point: point[1])
                right.plot(*best, 'o', c=color)
                label += f' ({best[1]:.1f} at {best[0]:g})'
            x, y = zip(*points, strict=True)
            right.plot(x, y, style, c=color, label=label)
    right.set(ylabel='mm', title='Errors; dots: smallest NMVE')
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xlabel('score threshold')
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(stream, format='png')


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Evaluate; returns the metrics."""
    args = parse_args(argv)
    if args.out is not None:
        check_outputs(args, OUTPUTS)
    results, rows = evaluate(args)
    print_results(results['metrics'])
    if args.out is not None:
        write_outputs(args.out, results, rows, args.overwrite)
        print(f'\nwrote {args.out}')
    elif rows:
        print('\nthreshold  f1    fullbody-NMVE  body-NMVE')
        for row in rows:
            errors = (row.get(f'{p}-NMVE', '-') for p in ('fullbody', 'body'))
            print(
                f'{row["threshold"]:<9g}  {row["f1"]:.2f}  '
                + '  '.join(f'{error!s:>13}' for error in errors)
            )
    return results['metrics']


if __name__ == '__main__':
    main()
