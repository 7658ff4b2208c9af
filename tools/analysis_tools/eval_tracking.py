#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Compute MOTA, IDF1 and HOTA of tracks.

Ground truth and tracks are files, or folders of files with the same names:
.json of PoseTrack 2018 or .txt of MOTChallenge.  Needs the package trackeval.

Example:
    python tools/params2mesh.py results/params.npz --format mot
    python tools/analysis_tools/eval_tracking.py \
        posetrack/annotations/val/000342_mpii_test.json results/params.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from aios.evaluation.tracking import Track, evaluate_tracks, read_tracks
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.folders import visible_paths
from aios.utils.json_record import write_record


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'truth', type=Path, help='ground truth, a file or a folder'
    )
    parser.add_argument('tracks', type=Path, help='tracks, a file or a folder')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.json',
        help='write the metrics to this file',
    )
    add_overwrite_option(parser, 'an existing file')
    return parser


def read_folder(path: Path, predicted: bool) -> dict[str, Track]:
    """Tracks by the stem of their file."""
    suffixes = ('.json', '.txt')
    files = [file for file in visible_paths(path) if file.suffix in suffixes]
    stems = [file.stem for file in files]
    if not files:
        raise ValueError(f'{path}: contains no .json or .txt')
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(
            f'{path}: contains both .json and .txt of {twice[0]!r}'
        )
    return {file.stem: read_tracks(file, predicted) for file in files}


def evaluate(truth: Path, tracks: Path) -> dict[str, float]:
    """Evaluate files or folders.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is invalid.
    """
    for path in (truth, tracks):
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist')
    if truth.is_dir() != tracks.is_dir():
        raise ValueError('both paths must be files, or both folders')
    if truth.is_dir():
        return evaluate_tracks(
            read_folder(truth, False), read_folder(tracks, True)
        )
    return evaluate_tracks(
        {'sequence': read_tracks(truth)},
        {'sequence': read_tracks(tracks, predicted=True)},
    )


@errors_in_one_line()
def main(argv: list[str] | None = None) -> dict[str, float]:
    """Evaluate; returns the numbers."""
    args = build_parser().parse_args(argv)
    numbers = evaluate(args.truth, args.tracks)
    if args.out is not None:
        write_record(args.out, numbers, args.overwrite)
    for name, value in numbers.items():
        # Counts with all digits
        print(f'{name:10s}{value:10.{0 if value.is_integer() else 4}f}')
    return numbers


if __name__ == '__main__':
    main()
