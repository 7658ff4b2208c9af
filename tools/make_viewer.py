#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Write an HTML page that plays results in a browser, with their images.

The page is a single file that needs no network, server or installation.

Examples:
    python tools/make_viewer.py outputs/video_demo
    python tools/make_viewer.py outputs/video_demo --source dance.mp4
    python tools/make_viewer.py params.npz --source dance.mp4 --ids 1 2 \
        --out dance.html
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from params2mesh import add_selection, load, select

from aios.apis.viewer import MODES, make_viewer
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.safe_io import refuse_existing


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'results', type=Path, help='output folder of a demo, or its params.npz'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='output file (default: viewer.html next to params.npz)',
    )
    parser.add_argument(
        '--images',
        choices=MODES,
        help='images shown next to the persons: the input images, the '
        'overlay of the demo, or none (default: source if --source is '
        'given, else overlay)',
    )
    parser.add_argument(
        '--source',
        help='input video or images (default: only the results folder is '
        'searched)',
    )
    parser.add_argument(
        '--max-side',
        type=int,
        default=640,
        metavar='PX',
        help='longest side of the images in pixels (default: %(default)s)',
    )
    add_selection(parser)
    parser.add_argument(
        '--model-path',
        help="folder of SMPL-X model files, or 'free' (default: the body "
        'model of the results)',
    )
    parser.add_argument(
        '--title', help='page title (default: name of the source)'
    )
    add_overwrite_option(parser, 'an existing page')
    return parser


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Make the page."""
    args = build_parser().parse_args(argv)
    folder = args.results
    params = folder / 'params.npz' if folder.is_dir() else folder
    path = args.out or params.with_name('viewer.html')
    if path.suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'--out is an .html file, got {path}')
    refuse_existing(path, args.overwrite)
    persons = run = load(args.results)
    if args.frames is not None or args.ids is not None:
        persons = select(persons, args.frames, args.ids)
    with tempfile.TemporaryDirectory() as scratch:
        size = make_viewer(
            persons,
            params.parent,
            path,
            scratch,
            mode=args.images or ('source' if args.source else 'overlay'),
            source=args.source,
            run=run,
            model_path=args.model_path,
            max_side=args.max_side,
            title=args.title,
            overwrite=args.overwrite,
            progress=True,
        )
    print(f'wrote {path} ({size / 2**20:.1f} MB); open it in a browser')


if __name__ == '__main__':
    main()
