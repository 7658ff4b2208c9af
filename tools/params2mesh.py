#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Turn results into files for other programs.

    glb   one animated, skinned file of all people (Blender, browsers)
    bvh   skeleton and motion, a file per person
    obj   a mesh per person and frame
    ply   the same, binary and with colours
    json  boxes, scores and key-points, like COCO-WholeBody
    mot   boxes of tracks, text of MOTChallenge

Examples:
    python tools/params2mesh.py results/params.npz --format glb
    python tools/params2mesh.py params.npz --format obj --frames 0:100:10 \
        --ids 1 2 --out meshes --axes opengl
    python tools/params2mesh.py params.npz --format bvh --model-path models
    python tools/params2mesh.py results --format glb

A folder is that of a run; if it was interrupted, what it left is used.  The
files go next to the results, under their name, or to --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aios.body_models import SMPLXLayer
from aios.export import (
    AXES,
    CORRECTIVES,
    PeopleSequence,
    write_bvh,
    write_glb,
    write_keypoints,
    write_meshes,
    write_mot,
)
from aios.utils.command_line import add_overwrite_option, make_parser


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'params', type=Path, help='results: an .npz file, or their folder'
    )
    parser.add_argument(
        '--format', required=True, choices=sorted(WRITERS), help='see above'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='file for glb, json and mot, folder for the others',
    )
    add_selection(parser)
    parser.add_argument(
        '--model-path',
        help="folder of the SMPL-X model files, or 'free' (default) for the "
        'free body that comes along',
    )
    parser.add_argument(
        '--correctives',
        choices=CORRECTIVES,
        default='exact',
        help='glb: blend shapes for what plain skinning lacks',
    )
    parser.add_argument(
        '--axes',
        choices=sorted(AXES),
        default='opencv',
        help='obj, ply: y down as the results (opencv), or up (opengl)',
    )
    parser.add_argument(
        '--scale',
        type=float,
        default=1.0,
        help='bvh: units per metre, 100 for centimetres',
    )
    parser.add_argument(
        '--fps',
        type=float,
        help='glb, bvh: frames per second, for pictures; default 1',
    )
    add_overwrite_option(parser, 'existing files')
    return parser


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--frames`` and ``--ids``, for :func:`select`."""
    parser.add_argument(
        '--frames',
        metavar='WHICH',
        help='numbers from 0 as 3,5,8, or a range START:STOP[:STEP] without '
        'STOP; default all',
    )
    parser.add_argument(
        '--ids', type=int, nargs='+', help='only these persons'
    )


def load(path: Path) -> PeopleSequence:
    """The results of a file, or of a folder with params.npz or parts of it.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If a file is damaged or holds something else.
    """
    if not path.is_dir():
        return PeopleSequence.load(path)
    if (path / 'params.npz').exists():
        return PeopleSequence.load(path / 'params.npz')
    from aios.apis.store import load_partial  # takes seconds

    people = load_partial(path)
    print(
        f'note: {path} is not complete, it has {people.num_frames} frames',
        file=sys.stderr,
    )
    return people


def select(
    people: PeopleSequence, frames: str | None, ids: Sequence[int] | None
) -> PeopleSequence:
    """The wanted people.

    Raises:
        ValueError: If a frame or a person is not there, or nobody is left.
    """
    if frames is not None:
        people = people.select_frames(parse_frames(frames, people.num_frames))
    if ids is not None:
        known = people.person_ids
        unknown = sorted(set(ids) - set(known.tolist()))
        if unknown:
            raise ValueError(
                f'--ids: no person {unknown[0]}, there are {known.tolist()}'
            )
        people = people.select(np.isin(people.person_id, ids))
    if not len(people):
        raise ValueError(f'nobody is in the {people.num_frames} frames')
    return people


def parse_frames(text: str, count: int) -> np.ndarray:
    """Ascending frame numbers of ``'3,5,8'`` or ``'START:STOP:STEP'``.

    Raises:
        ValueError: If the text is another, or a frame does not exist.
    """
    try:
        if ':' in text:
            parts = [int(part) if part else None for part in text.split(':')]
            chosen = np.arange(count)[slice(*parts)]
        else:
            chosen = np.unique([int(part) for part in text.split(',')])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'--frames must be like 3,5,8 or 0:100:10, got {text!r}'
        ) from error
    outside = chosen[(chosen < 0) | (chosen >= count)]
    if len(outside):
        raise ValueError(f'--frames: {outside[0]} is not in 0..{count - 1}')
    return np.sort(chosen)


def _glb(people: PeopleSequence, args: argparse.Namespace) -> list[Path]:
    path = args.out or args.params.with_suffix('.glb')
    summary = write_glb(
        people,
        _layer(people, args),
        path,
        correctives=args.correctives,
        fps=args.fps,
        overwrite=args.overwrite,
        progress=True,
    )
    print(
        f'{summary.num_bytes / 2**20:.1f} MB; vertices at most '
        f'{1000 * summary.max_error:.2f} mm from the body model'
    )
    return [path]


def _bvh(people: PeopleSequence, args: argparse.Namespace) -> list[Path]:
    layer = _layer(people, args)
    ids = people.person_ids.tolist()
    paths = [_folder(args) / f'person_{person}.bvh' for person in ids]
    _refuse_existing(paths, args.overwrite)
    for person, path in zip(ids, paths, strict=True):
        write_bvh(
            people,
            layer,
            path,
            person,
            scale=args.scale,
            fps=args.fps,
            overwrite=args.overwrite,
        )
    return paths


def _meshes(people: PeopleSequence, args: argparse.Namespace) -> list[Path]:
    return write_meshes(
        people,
        _layer(people, args),
        _folder(args),
        args.format,
        axes=args.axes,
        overwrite=args.overwrite,
        progress=True,
    )


def _json(people: PeopleSequence, args: argparse.Namespace) -> list[Path]:
    path = args.out or args.params.with_suffix('.json')
    write_keypoints(people, path, overwrite=args.overwrite)
    return [path]


def _mot(people: PeopleSequence, args: argparse.Namespace) -> list[Path]:
    path = args.out or args.params.with_suffix('.txt')
    return [write_mot(path, people.frames(), overwrite=args.overwrite)]


WRITERS: dict[
    str, Callable[[PeopleSequence, argparse.Namespace], list[Path]]
] = {
    'glb': _glb,
    'bvh': _bvh,
    'obj': _meshes,
    'ply': _meshes,
    'json': _json,
    'mot': _mot,
}


def _layer(people: PeopleSequence, args: argparse.Namespace) -> SMPLXLayer:
    if args.model_path is None and people.body_model not in ('', 'free'):
        print(
            f'note: the results were made with the body model '
            f'{people.body_model!r}, this uses the free one; see --model-path',
            file=sys.stderr,
        )
    return SMPLXLayer(args.model_path or 'free', gender=people.gender).eval()


def _folder(args: argparse.Namespace) -> Path:
    return args.out or args.params.with_name(
        f'{args.params.stem}_{args.format}'
    )


def _refuse_existing(paths: Sequence[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise FileExistsError(f'{path} exists; it is not overwritten')


def main(argv: list[str] | None = None) -> None:
    """Write the files."""
    args = build_parser().parse_args(argv)
    try:
        people = load(args.params)
        if args.params.is_dir():
            args.params = args.params / 'params.npz'
        people = select(people, args.frames, args.ids)
        paths = WRITERS[args.format](people, args)
    except FileExistsError as error:
        sys.exit(f'error: {error}; --overwrite replaces it')
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    more = f' and {len(paths) - 1} more' if len(paths) > 1 else ''
    print(f'wrote {paths[0]}{more}')


if __name__ == '__main__':
    main()
