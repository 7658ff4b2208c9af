#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Convert results to files for other programs.

{formats}

--from reads results of other programs:

{programs}

Examples:
    python tools/params2mesh.py results/params.npz --format glb
    python tools/params2mesh.py params.npz --format obj --frames 0:100:10 \
        --ids 1 2 --out meshes --axes opengl
    python tools/params2mesh.py params.npz --format bvh --model-path models
    python tools/params2mesh.py results --format glb
    python tools/params2mesh.py demo.pkl --from phalp --fps 25 --format glb
    python tools/params2mesh.py bodies --from sam3dbody --faces faces.npy \
        --fps 30 --track --format npz
    python tools/params2mesh.py results --height 3=1.75 --ground \
        --format npz --out scaled.npz
    python tools/params2mesh.py results --fill-gaps 30 --format glb

Results can be a folder of a demo; if its run was interrupted, the existing
frames are used. Files are written next to the results, or to --out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import BodyPoser, NumpySMPLXLayer
from aios.export import EXPORTERS, Exporter
from aios.ground import (
    GroundError,
    ground_sequence,
    set_heights,
    summarize,
)
from aios.importers import IMPORTERS, ReadingOptions
from aios.results import SequenceResult
from aios.tracking import Tracker, fill_gaps
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)

Heights = dict[int | None, float]
Layer = Callable[[], NumpySMPLXLayer]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    formats = '\n'.join(f'    {n:<5} {x.about}' for n, x in EXPORTERS.items())
    programs = '\n'.join(f'    {n:<9} {x.about}' for n, x in IMPORTERS.items())
    text = (__doc__ or '').replace('{formats}', formats)
    parser = make_parser(text.replace('{programs}', programs))
    parser.add_argument(
        'params', type=Path, help='results: an .npz file, or a results folder'
    )
    parser.add_argument(
        '--format', required=True, choices=sorted(EXPORTERS), help='see above'
    )
    one_file = [x for x in EXPORTERS.values() if x.per == 'run']
    parser.add_argument(
        '--out',
        type=Path,
        help=f'file for {_names(one_file)}; folder for the others',
    )
    add_reading_options(parser)
    add_selection(parser)
    parser.add_argument(
        '--height',
        action='append',
        type=parse_height,
        default=[],
        metavar='[ID=]METERS',
        help='height of a person, or median height of all others; sets the '
        'size of persons and their distance. Can be given several times',
    )
    parser.add_argument(
        '--ground',
        action='store_true',
        help='put persons on the floor, for a fixed camera, as video_demo.py '
        'does; persons of --height set the scale',
    )
    parser.add_argument(
        '--fill-gaps',
        type=int,
        metavar='FRAMES',
        help='interpolate tracked persons over at most this many '
        'consecutive frames without detection; their score is 0',
    )
    parser.add_argument(
        '--model-path',
        help="folder of SMPL-X model files, or 'free' (default) for the free "
        'body of the package',
    )
    for flag, (keywords, users) in _options().items():
        text = f'{_names(users)}: {keywords["help"]}'
        parser.add_argument(flag, **(keywords | {'help': text}))
    add_overwrite_option(parser, 'existing files')
    return parser


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--from`` and its options, for :func:`read`."""
    group = parser.add_argument_group('results of other programs')
    group.add_argument(
        '--from', dest='program', choices=IMPORTERS, help='see above'
    )
    group.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        metavar=('WIDTH', 'HEIGHT'),
        help='image size, if the files do not contain it',
    )
    group.add_argument(
        '--fov',
        type=float,
        metavar='DEGREES',
        help='multihmr: field of view across the longer side of the images',
    )
    group.add_argument(
        '--faces',
        type=Path,
        help='sam3dbody: .npy file of the triangles (estimator.faces)',
    )
    group.add_argument(
        '--track',
        action='store_true',
        help='assign consistent ids to persons over frames',
    )


def read(args: argparse.Namespace) -> SequenceResult:
    """Read the results of another program.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If a file is damaged or holds something else.
    """
    model_path = args.model_path or 'free'
    body_model = {'type': 'SMPLXLayer', 'model_path': model_path}
    persons, remarks = IMPORTERS[args.program].read(
        args.params,
        BodyPoser(body_model),
        ReadingOptions(
            args.fps,
            args.image_size and tuple(args.image_size),
            args.fov,
            args.faces,
        ),
    )
    if persons.has_parameters:
        persons = replace(persons, body_model=str(model_path))
    for remark in remarks:
        _note(remark)
    if args.track:
        tracker = Tracker()
        persons = SequenceResult.from_frames(
            map(tracker.track, persons.frames()), **persons.metadata
        )
    return persons


def _note(text: str) -> None:
    print(f'note: {text}', file=sys.stderr)


def check_reading_options(args: argparse.Namespace) -> None:
    """Reject options that would be ignored.

    Raises:
        ValueError: If there is one without ``--from``, or that its program
            does not need.
    """
    names = ('image_size', 'fov', 'faces', 'track')
    given = [n for n in names if getattr(args, n) not in (None, False)]
    of_program: Sequence[str] = ()
    if args.program is not None:
        of_program = ('track', *IMPORTERS[args.program].uses)
    ignored = [n for n in given if n not in of_program]
    if ignored:
        options = ' and '.join(f'--{n.replace("_", "-")}' for n in ignored)
        if args.program is None:
            raise ValueError(f'{options}: allowed with --from only')
        raise ValueError(f'{options}: not allowed with --from {args.program}')


def check_format_options(
    args: argparse.Namespace, persons: SequenceResult
) -> None:
    """Reject options of other formats, and report ignored ones.

    Raises:
        ValueError: If there is one.
    """
    of_program = {'--fps'} if args.program else set()
    for flag, (keywords, users) in _options().items():
        names = [exporter.name for exporter in users]
        given = getattr(args, flag[2:].replace('-', '_'))
        is_default = given == keywords.get('default')
        if args.format not in names and flag not in of_program:
            if not is_default:
                raise ValueError(
                    f'{flag} is for {_names(users)}, not for {args.format}'
                )
        elif flag == '--fps' and given and not args.program and persons.fps:
            _note(
                '--fps applies to images; these results have '
                f'{persons.fps:g} frames per second'
            )


def _options() -> dict[str, tuple[dict[str, Any], list[Exporter]]]:
    """Options of the formats, and which formats have them."""
    options: dict[str, tuple[dict[str, Any], list[Exporter]]] = {}
    for exporter in EXPORTERS.values():
        for flag, keywords in exporter.options.items():
            options.setdefault(flag, (keywords, []))[1].append(exporter)
    return options


def _names(exporters: Sequence[Exporter]) -> str:
    return ', '.join(exporter.name for exporter in exporters)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--frames`` and ``--ids``, for :func:`select`."""
    parser.add_argument(
        '--frames',
        metavar='WHICH',
        help='frame numbers from 0, such as 3,5,8, or a range '
        'START:STOP[:STEP] that excludes STOP (default: all)',
    )
    parser.add_argument(
        '--ids', type=int, nargs='+', help='convert only these persons'
    )


def load(path: Path) -> SequenceResult:
    """Load results from a file, or a folder with params.npz or shards.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If a file is damaged or holds something else.
    """
    if not path.is_dir():
        return SequenceResult.load(path)
    if (path / 'params.npz').exists():
        return SequenceResult.load(path / 'params.npz')
    from aios.apis.store import load_partial

    persons = load_partial(path)
    _note(f'{path} is not complete, it has {persons.num_frames} frames')
    return persons


def select(
    persons: SequenceResult, frames: str | None, ids: Sequence[int] | None
) -> SequenceResult:
    """Select frames and persons of the options.

    Raises:
        ValueError: If a frame or a person is not there, or no person is left.
    """
    if frames is not None:
        persons = persons.select_frames(
            parse_frames(frames, persons.num_frames)
        )
    if ids is not None:
        known = persons.person_ids
        unknown = sorted(set(ids) - set(known.tolist()))
        if unknown:
            raise ValueError(
                f'--ids: there is no person {unknown[0]}, ids are '
                f'{known.tolist()}'
            )
        persons = persons.select(np.isin(persons.person_id, ids))
    if not len(persons):
        raise ValueError(f'the {persons.num_frames} frames contain no person')
    return persons


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


def parse_height(text: str) -> tuple[int | None, float]:
    """Person and meters of ``'3=1.75'``, or ``'1.75'`` for the others.

    Raises:
        argparse.ArgumentTypeError: If the text is another.
    """
    person, equals, meters = text.rpartition('=')
    try:
        return int(person) if equals else None, float(meters)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            'must be METERS, such as 1.75, or ID=METERS, such as 3=1.75; '
            f'got {text!r}'
        ) from error


def known_heights(given: list[tuple[int | None, float]]) -> Heights:
    """The heights of ``--height``.

    Raises:
        ValueError: If one is given twice.
    """
    heights = dict(given)
    if len(heights) < len(given):
        names = [person for person, _ in given]
        twice = next(x for x in names if names.count(x) > 1)
        who = 'of the others' if twice is None else f'of person {twice}'
        raise ValueError(f'--height {who} is given twice')
    return heights


def with_heights(
    persons: SequenceResult, heights: Heights, layer: Layer
) -> SequenceResult:
    """Set the heights of ``--height``.

    Raises:
        ValueError: If that is not possible.
    """
    if not heights:
        return persons
    persons.check_parameters()
    return set_heights(persons, heights, BodyPoser(layer()))


def on_floor(
    persons: SequenceResult, heights: Heights, layer: Layer
) -> SequenceResult:
    """Set the heights of ``--height``, and ground the persons.

    Raises:
        ValueError: If heights are not possible, or do not fit together.
    """
    singles = {p: height for p, height in heights.items() if p is not None}
    if singles and len(singles) < len(heights):
        raise ValueError(
            '--ground: the floor determines the height of the other persons, '
            'so set --height per person (ID=METERS), or one for all'
        )
    if singles:
        persons.check_parameters()
    try:
        known = layer() if persons.has_parameters else None
        persons, report = ground_sequence(persons, known, heights=singles)
    except GroundError as error:
        _note(f'not put on the floor: {error}')
    else:
        print(summarize(report))
        heights = {None: heights[None]} if None in heights else {}
    return with_heights(persons, heights, layer)


def with_filled_gaps(
    persons: SequenceResult, max_gap: int | None, layer: Layer
) -> SequenceResult:
    """Fill gaps of tracks as ``--fill-gaps`` says.

    Raises:
        ValueError: If they have no ids of a tracker.
    """
    if max_gap is None:
        return persons
    if persons.are_images:
        raise ValueError(
            '--fill-gaps needs ids of a video; in separate images the same '
            'id is not the same person'
        )
    persons.check_parameters()
    return fill_gaps(persons, layer(), max_gap)


def _target(exporter: Exporter, args: argparse.Namespace) -> Path:
    """Path for :meth:`aios.export.Exporter.export`.

    Raises:
        ValueError: If ``--out`` has the name of something else.
    """
    source: Path = args.params
    if source.name in ('', '..'):  # of the current folder
        source = source.resolve()
    # Folders have no suffix: a dot in their names is part of it.
    stem = source.name if source.is_dir() else source.stem
    if exporter.per == 'run':
        kind = f'.{exporter.suffix.rpartition(".")[2]}'
        if args.out and args.out.suffix.lower() != kind:
            raise ValueError(
                f'--out is a {kind} file for {exporter.name}, got {args.out}'
            )
        return args.out or source.with_name(stem + exporter.suffix)
    folder = args.out or source.with_name(f'{stem}_{exporter.name}')
    if folder.suffix == exporter.suffix or folder.is_file():
        raise ValueError(
            f'--out is a folder for {exporter.name}, got the name of a file, '
            f'{folder}'
        )
    if exporter.per == 'person':
        return folder / f'person{{person}}{exporter.suffix}'
    return folder


def report_others(paths: Sequence[Path]) -> None:
    """Name other files of persons; a call with other ``--ids`` wrote them."""
    kind, folders = f'*person*{paths[0].suffix}', {p.parent for p in paths}
    found = {path for folder in folders for path in folder.glob(kind)}
    if others := sorted(found - {*paths}):
        _note(
            f'{len(others)} other files were not replaced, such as {others[0]}'
        )


def _layer(
    persons: SequenceResult, args: argparse.Namespace
) -> NumpySMPLXLayer:
    if args.model_path is None and persons.body_model not in ('', 'free'):
        _note(
            f'the results were made with the body model {persons.body_model!r}'
            ', but the free body is used; set --model-path'
        )
    return NumpySMPLXLayer(args.model_path or 'free', persons.gender)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Write the files."""
    args = build_parser().parse_args(argv)
    check_reading_options(args)
    if args.program is not None:
        persons = read(args)
    else:
        persons = load(args.params)
        if args.params.is_dir():
            args.params = args.params / 'params.npz'
    check_format_options(args, persons)
    if not len(persons):  # no error, as a loop over videos goes on
        _note(f'{args.params} contains no person, so nothing is written')
        return
    layer = cache(partial(_layer, persons, args))
    settle = on_floor if args.ground else with_heights
    persons = settle(persons, known_heights(args.height), layer)
    persons = with_filled_gaps(persons, args.fill_gaps, layer)
    persons = select(persons, args.frames, args.ids)
    exporter = EXPORTERS[args.format]
    is_posed = exporter.needs_body and persons.has_parameters
    names = [x[2:].replace('-', '_') for x in exporter.options]
    paths, remarks = exporter.export(
        persons,
        layer() if is_posed else None,
        _target(exporter, args),
        overwrite=args.overwrite,
        progress=True,
        **{name: getattr(args, name) for name in names},
    )
    for remark in remarks:
        print(remark)
    if args.overwrite and exporter.per != 'run':
        report_others(paths)
    more = f' and {len(paths) - 1} more' if len(paths) > 1 else ''
    print(f'wrote {paths[0]}{more}')


if __name__ == '__main__':
    main()
