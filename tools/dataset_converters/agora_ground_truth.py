#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Convert AGORA's data frames to one file for AGORAMetric and eval_agora.py.

Data frames are large pickles that must be read as a whole; from the converted
file meshes are read image by image. pandas is not needed.

Example:
    python tools/dataset_converters/agora_ground_truth.py \
        data/datasets/agora/gt_dataframe data/datasets/agora/validation.npz
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aios.evaluation.agora import convert_ground_truth
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'folder',
        type=Path,
        help='folder with the files validation_<k>_SMPLX_withjv.pkl',
    )
    parser.add_argument('out', type=Path, help='output file, .npz')
    add_overwrite_option(parser, 'an existing file')
    args = parser.parse_args(argv)
    if args.out.suffix != '.npz':
        raise ValueError(f'{args.out}: the suffix must be .npz')
    count = convert_ground_truth(args.folder, args.out, args.overwrite)
    print(f'{count} images: {args.out}')


if __name__ == '__main__':
    main()
