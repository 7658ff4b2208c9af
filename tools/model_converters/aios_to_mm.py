# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Convert a checkpoint of the published AiOS or ED-Pose.

Reads ``aios_checkpoint.pth`` or ``edpose_r50_coco.pth``, renames their
tensors, drops duplicates and the licensed body model, and writes a checkpoint
that MMEngine loads into ``configs/_base_/models/aios_r50.py``. ``--reverse``
converts one of our checkpoints to the official format.

Example::

    python tools/model_converters/aios_to_mm.py aios_checkpoint.pth aios.pth
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from aios import __version__
from aios.models.checkpoints import (
    Conversion,
    convert,
    export,
    read_checkpoint,
    select_weights,
)
from aios.models.checkpoints.key_map import RULES
from aios.models.checkpoints.reading import errors_name
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.digests import file_sha256
from aios.utils.safe_io import atomic_write, refuse_existing


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__.split('Example::')[0])
    parser.add_argument('src', type=Path, help='input checkpoint')
    parser.add_argument('dst', type=Path, help='output checkpoint')
    parser.add_argument(
        '--ema',
        action='store_true',
        help='convert the averaged (EMA) weights; the published results are '
        'those of the other weights',
    )
    parser.add_argument(
        '--allow-partial',
        action='store_true',
        help='accept missing tensors, and drop unknown ones',
    )
    parser.add_argument(
        '--reverse',
        action='store_true',
        help='convert from our names to official names',
    )
    add_overwrite_option(parser, 'DST if it exists')
    return parser.parse_args(argv)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    refuse_existing(args.dst, args.overwrite)
    with errors_name(args.src):
        weights = select_weights(read_checkpoint(args.src), args.ema)
        if args.reverse:
            content, report = dict(model=export(weights)), []
        else:
            conversion = convert(weights, args.allow_partial)
            content, report = official_to_ours(conversion, args)
    with atomic_write(args.dst, args.overwrite) as stream:
        torch.save(content, stream)
    print('\n'.join(report))
    print(f'read   {args.src}  sha256 {file_sha256(args.src)}')
    print(f'wrote  {args.dst}  sha256 {file_sha256(args.dst)}')


def official_to_ours(
    conversion: Conversion, args: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Content of our checkpoint, and a report of renamed tensors."""
    meta = dict(
        source=args.src.name,
        source_sha256=file_sha256(args.src),
        source_network=conversion.network,
        averaged=args.ema,
        converted_by=f'aios {__version__}',
    )
    content = dict(meta=meta, state_dict=conversion.state_dict)
    return content, [*went_where(conversion), *left_out(conversion)]


def went_where(conversion: Conversion) -> list[str]:
    """Lines of a table: for each rule, how many tensors it renamed."""
    counts: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for ours, official in conversion.origin.items():
        rule = next(r for r in RULES if r.to_ours(official) is not None)
        counts[rule.official] += 1
        numbers[rule.official] += conversion.state_dict[ours].numel()
    rows = [
        f'{rule.official:<48} {rule.ours:<52} {counts[rule.official]:>7} '
        f'{numbers[rule.official]:>12,}'
        for rule in RULES
        if counts[rule.official]
    ]
    title = f'{conversion.network + ":":<48} {"ours":<52} tensors      numbers'
    total = f'{"total":<101} {counts.total():>7} {numbers.total():>12,}'
    return [title, *rows, total]


def left_out(conversion: Conversion) -> list[str]:
    """Lines about tensors that are not in the result."""
    lines = [
        f'left out: {len(conversion.aliases)} second names of these tensors '
        '(equal, checked)',
        f'left out: {len(conversion.body_model)} tensors of the body model '
        '(licensed data, no weights)',
    ]
    lines += [f'left out: unknown {name}' for name in conversion.unknown]
    lines += [f'missing:  {name}' for name in conversion.missing]
    return lines


if __name__ == '__main__':
    main()
