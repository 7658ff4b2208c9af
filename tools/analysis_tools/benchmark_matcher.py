#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Time the matching of one training step beside the usual way.

Ours computes costs within each image, and all of them come to the host in
one transfer. The usual way, that of DETR, computes the costs of all
candidates of the batch with all persons of the batch, output by output, uses
the blocks on the diagonal, and transfers each output by itself. Both take
turns in one process, and must choose the same pairs. Boxes and points are
made up; costs and sizes are those of a config. Prints a table in Markdown
with the median processor time.

Example:
    python tools/analysis_tools/benchmark_matcher.py --images 2 8 16
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmengine.config import Config
from scipy.optimize import linear_sum_assignment

from aios.models.layers import read_stages
from aios.models.task_modules import (
    BatchHungarianAssigner,
    Candidates,
    PersonTargets,
)
from aios.registry import TASK_UTILS, register_all_modules
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    markdown_table,
    read_config,
)

Outputs = list[tuple[str, Candidates]]
Pairs = list[list[list[int]]]
SEED = 0
# Fields of targets that no cost asks for.
UNUSED = (
    *('image_size', 'joints2d', 'joints2d_weight'),
    *('joints3d', 'joints3d_weight', 'rotations', 'rotations_valid'),
    *('betas', 'betas_valid', 'expression', 'expression_valid'),
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--config', default='configs/aios/aios_r50.py')
    parser.add_argument(
        '--images', type=int, nargs='+', default=[2, 8, 16], help='of a batch'
    )
    parser.add_argument('--people', type=int, default=8, help='per image')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=7)
    return parser.parse_args(argv)


def make_outputs(model: Config, num_images: int) -> Outputs:
    """What a network with a config's stages would say, by chance."""

    def candidates(count: int, points: bool) -> Candidates:
        boxes = torch.rand(num_images, count, 4) * 0.5 + 0.25
        return Candidates(
            torch.randn(num_images, count, 2),
            boxes,
            torch.rand(num_images, count, 17, 2) if points else None,
        )

    outputs = [('encoder', candidates(model.num_queries, False))]
    for stage in read_stages(model.decoder.stages):
        first = stage.first_layer == 0
        count = model.num_queries if first else model.decoder.num_persons
        outputs += [
            (stage.layout.name, candidates(count, not first))
            for _ in range(stage.num_layers)
        ]
    return outputs


def make_targets(num_images: int, people: int) -> PersonTargets:
    """As many people in each image; only what costs ask for."""
    number = num_images * people
    nothing = torch.zeros(number, 0)
    return PersonTargets(
        counts=(people,) * num_images,
        labels=torch.ones(number, dtype=torch.int64),
        boxes=dict(body=torch.rand(number, 4) * 0.5 + 0.25),
        box_valid=dict(body=torch.ones(number)),
        points=dict(body=torch.rand(number, 17, 2)),
        points_visible=dict(body=torch.rand(number, 17).round()),
        **dict.fromkeys(UNUSED, nothing),
    )


def match_ours(
    assigner: BatchHungarianAssigner, outputs: Outputs, targets: PersonTargets
) -> Pairs:
    """Candidates and persons of each output."""
    return [
        [match.candidates.tolist(), match.persons.tolist()]
        for match in assigner.assign(outputs, targets)
    ]


@torch.no_grad()
def match_naive(
    assigner: BatchHungarianAssigner, outputs: Outputs, targets: PersonTargets
) -> Pairs:
    """The same, as in DETR."""
    starts = np.cumsum((0, *targets.counts))
    pairs = []
    for stage, given in outputs:
        points = given.points
        flat = Candidates(
            given.logits.flatten(0, 1),
            given.boxes.flatten(0, 1),
            None if points is None else points.flatten(0, 1),
        )
        cost = assigner.cost(stage, flat, targets).cpu().numpy()
        number = given.logits.shape[1]
        chosen = [np.zeros((2, 0), np.int64)]
        for image in range(len(targets.counts)):
            block = cost[
                image * number : (image + 1) * number,
                starts[image] : starts[image + 1],
            ]
            persons, candidates = linear_sum_assignment(block.T)
            offset = np.array([[image * number], [starts[image]]])
            chosen.append(np.stack((candidates, persons)) + offset)
        pairs.append(np.concatenate(chosen, axis=1).tolist())
    return pairs


def measure(
    assigner: BatchHungarianAssigner, case: tuple, repeats: int
) -> tuple[dict[str, float], bool]:
    """Median milliseconds of both, and whether they agree."""
    ways: dict[str, Callable] = dict(naive=match_naive, ours=match_ours)
    times: dict[str, list[float]] = {name: [] for name in ways}
    equal = True
    for _ in range(repeats + 1):
        results = []
        for name, match in ways.items():
            begin = time.process_time()
            results.append(match(assigner, *case))
            times[name].append(1000 * (time.process_time() - begin))
        equal &= results[0] == results[1]
    # without the first turn, which warms up
    return {k: statistics.median(v[1:]) for k, v in times.items()}, equal


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> dict[int, dict[str, float]]:
    """Measure; returns milliseconds by number of images.

    Raises:
        RuntimeError: If the two do not choose the same pairs.
    """
    args = parse_args(argv)
    register_all_modules()
    torch.set_num_threads(args.threads)
    model = read_config(args.config).model
    assigner = TASK_UTILS.build(model.bbox_head.criterion.assigner)
    print(
        f'{args.config}, {args.people} people per image, {args.threads} '
        f'threads, processor time, median of {args.repeats}\n'
    )
    table, cells = {}, [['images', 'naive', 'ours', 'ratio', 'pairs']]
    for count in args.images:
        torch.manual_seed(SEED)
        case = make_outputs(model, count), make_targets(count, args.people)
        row, equal = measure(assigner, case, args.repeats)
        if not equal:
            raise RuntimeError(f'{count} images: the pairs differ')
        ratio = row['naive'] / row['ours']
        times = [f'{row[name]:.1f} ms' for name in ('naive', 'ours')]
        cells.append([str(count), *times, f'{ratio:.1f}×', 'equal'])
        table[count] = row
    print(markdown_table(cells))
    return table


if __name__ == '__main__':
    main()
