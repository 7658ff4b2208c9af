# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Convert body-model files to plain .npz files without Python objects.

Reads .pkl and .npz files of SMPL, SMPL-H, MANO, FLAME and SMPL-X without
executing code from them (chumpy is not needed) and writes every array under
its name. Sparse matrices become dense; entries that are not arrays are dropped
and listed. The result loads with np.load(allow_pickle=False) and in every
loader of the format.

    python tools/model_converters/convert_body_model.py \
        SMPLX_NEUTRAL.pkl --out data/body_models/smplx
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aios.body_models.files import (
    BodyModelFileError,
    check_body_model_arrays,
    read_model_file,
    to_plain_arrays,
)
from aios.utils.command_line import add_overwrite_option, make_parser
from aios.utils.safe_io import CorruptFileError, UnsafeFileError, save_npz


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'sources', nargs='+', type=Path, help='.pkl or .npz files'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='output folder, or .npz file for a single source (default: next '
        'to the source)',
    )
    add_overwrite_option(parser, 'existing files')
    parser.add_argument(
        '--no-compress',
        action='store_true',
        help='write uncompressed files: larger, but faster to load',
    )
    args = parser.parse_args(argv)
    if len(args.sources) > 1 and args.out and args.out.suffix == '.npz':
        parser.error('--out must be a folder if there are several sources')
    targets: dict[Path, Path] = {}
    for source in args.sources:
        other = targets.setdefault(target_path(source, args.out), source)
        if other != source:
            parser.error(
                f'{other} and {source} would be the same file in --out; '
                'convert them into different folders'
            )
    return args


def target_path(source: Path, out: Path | None) -> Path:
    """Where the plain version of ``source`` goes."""
    if out is not None and out.suffix == '.npz':
        return out
    return (out or source.parent) / f'{source.stem}.npz'


def convert(
    source: Path, target: Path, overwrite: bool, compress: bool
) -> None:
    """Convert one file and print what it holds."""
    arrays, dropped = to_plain_arrays(read_model_file(source))
    if not arrays:
        raise BodyModelFileError(f'{source}: contains no arrays')
    save_npz(target, arrays, overwrite=overwrite, compress=compress)
    print(f'{source} -> {target} ({target.stat().st_size / 2**20:.2f} MB)')
    for name, array in arrays.items():
        print(f'  {name:24s} {array.dtype!s:8s} {array.shape}')
    for name, reason in dropped.items():
        print(f'  {name:24s} left out: {reason}')
    try:
        check_body_model_arrays(arrays, target)
    except BodyModelFileError as error:
        print(f'  not usable as an SMPL-X model: {error}')
    else:
        print('  complete SMPL-X model')


def main(argv: list[str] | None = None) -> int:
    """Convert the files; 1 if one of them failed."""
    args = parse_args(argv)
    status = 0
    for source in args.sources:
        target = target_path(source, args.out)
        try:
            convert(source, target, args.overwrite, not args.no_compress)
        except (
            BodyModelFileError,
            CorruptFileError,
            UnsafeFileError,
            OSError,
        ) as error:
            print(f'error: {error}', file=sys.stderr)
            status = 1
    return status


if __name__ == '__main__':
    sys.exit(main())
