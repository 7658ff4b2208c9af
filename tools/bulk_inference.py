#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Run inference on many videos with any number of processes.

Processes with the same OUT_DIR share the work, on one machine or on several
with a shared file system; each video is processed once. Interrupted processes
continue when started again. Progress is recorded in OUT_DIR/manifest.jsonl,
results are in OUT_DIR/results/NAME (docs/en/scale.md).

Examples:
    python tools/bulk_inference.py videos/ aios_r50 CHECKPOINT --out-dir out
    python tools/bulk_inference.py shots/ --recursive --fps 24 --out-dir out
    torchrun --nproc-per-node 8 tools/bulk_inference.py list.txt aios_r50 \
        CHECKPOINT --out-dir out --track --launcher pytorch
    python tools/bulk_inference.py --status out
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aios.apis.bulk import (
    MANIFEST,
    BulkItem,
    BulkRun,
    ItemFailure,
    read_states,
)
from aios.apis.cli import (
    add_launcher_option,
    add_options,
    add_reading_options,
    make_inferencer,
    make_outputs,
    make_processing,
)
from aios.apis.dist_context import DistContext
from aios.apis.exit_codes import fail, run
from aios.apis.job import run_inference
from aios.apis.sources import FrameSource, flat_names, open_sources
from aios.utils.command_line import make_parser
from aios.utils.media import VIDEO_SUFFIXES, list_media
from aios.utils.safe_io import load_npz

# Options that affect neither results nor files.
_FREE = (
    'batch_size',
    'device',
    'launcher',
    'out_dir',
    'overwrite',
    'recursive',
    'resume',
    'retry_failed',
    'status',
    'videos',
)


class _Status(argparse.Action):
    """Print the state of a run, and end the program."""

    def __call__(self, parser: Any, namespace: Any, values: Any, *_: Any):
        try:
            states = read_states(values)
        except (FileNotFoundError, ValueError) as error:
            parser.exit(1, f'error: {error}\n')
        for state in states:
            print(json.dumps(state))
        parser.exit(0, _summary(states) + '\n')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'videos',
        help='text file with one video per line, a folder, or a quoted '
        'pattern; with --fps also folders of images',
    )
    add_options(parser)
    add_reading_options(parser)
    add_launcher_option(parser)
    parser.add_argument(
        '--retry-failed',
        action='store_true',
        help='retry videos that an earlier run could not read',
    )
    parser.add_argument(
        '--status',
        action=_Status,
        metavar='OUT_DIR',
        help='print the progress of a run and exit',
    )
    parser.set_defaults(out_dir='outputs/bulk_inference', resume=True)
    return parser


def find_items(args: argparse.Namespace) -> list[BulkItem]:
    """Videos of a list, a folder or a pattern.

    Args:
        args: ``videos``: lines of a list that begin with ``#`` are left out,
            names are relative to the list's folder; ``recursive``; ``fps``:
            folders of images are videos, too; ``out_dir``: left out.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If something is no video.
    """
    source, fps = args.videos, args.fps
    if Path(source).suffix == '.txt':
        # File names may contain arbitrary bytes.
        text = Path(source).read_text('utf-8-sig', 'surrogateescape')
        lines = map(str.strip, text.splitlines())
        root = Path(source).parent
        paths = [root / x for x in lines if x and not x.startswith('#')]
    else:
        paths = list_media(source, args.recursive, args.out_dir)
        if fps is not None and Path(source).is_dir():
            paths = [p if is_video(p) else p.parent for p in paths]
            paths = list(dict.fromkeys(paths))
    others = [p for p in paths if not (is_video(p) or (fps and p.is_dir()))]
    if others or not paths:
        raise ValueError(
            f'{source}: {(others[0] if others else "nothing")} is not a '
            f'video; allowed suffixes: {", ".join(VIDEO_SUFFIXES)}; with '
            '--fps also folders of images'
        )
    return [  # no folder of results inside another one
        BulkItem(name, str(path))
        for name, path in zip(flat_names(paths), paths, strict=True)
    ]


def open_item(item: BulkItem, args: argparse.Namespace) -> list[FrameSource]:
    """Open a video, or the images of a folder.

    Raises:
        ItemFailure: If that is not possible.
    """
    path = Path(item.path)
    try:
        images = list_media(path) if path.is_dir() else []
        return open_sources(
            [p for p in images if not is_video(p)] or path,
            frame_interval=args.frame_interval,
            start=args.start,
            end=args.end,
            fps=args.fps,
        )
    except (OSError, ValueError) as error:
        raise ItemFailure(str(error)) from error


def is_video(path: Path) -> bool:
    """Whether a path has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def infer_all(args: argparse.Namespace) -> int:
    """Process all videos; returns the number of failures."""
    dist = DistContext()
    if args.launcher == 'pytorch':  # processes do not wait for each other
        dist = DistContext.join(connect=False)
    bulk = BulkRun(
        args.out_dir,
        find_items(args),
        {k: v for k, v in vars(args).items() if k not in _FREE},
        rank=dist.rank,
        size=dist.world_size,
        retry_failed=args.retry_failed,
    )
    inferencer = make_inferencer(args, dist)
    inferencer.faces  # noqa: B018 - is the body model there?

    def infer(item: BulkItem, folder: Path) -> dict[str, Any]:
        sources = open_item(item, args)
        try:
            summary = run_inference(
                inferencer,
                sources,
                folder,
                outputs=make_outputs(args),
                processing=make_processing(args),
                resume=True,
            )
        except (FileExistsError, FileNotFoundError, ValueError) as error:
            raise ItemFailure(str(error)) from error
        frames, persons = _count(folder)
        print(f'{item.name}: {persons} persons in {frames} frames')
        return dict(frames=frames, persons=persons, problems=summary.problems)

    states = bulk.work(infer)
    if dist.is_main:
        print(_summary(states))
    failed = [state for state in states if state['state'] == 'failed']
    if failed:
        text = '\n  '.join(f'{x["path"]}: {x["error"]}' for x in failed)
        fail(f'{len(failed)} videos could not be read:\n  {text}')
    return 0


def _count(folder: Path) -> tuple[int, int]:
    """Numbers of frames and persons, also of a video finished earlier."""
    names = ['frame_names', 'frame_index']
    found = load_npz(folder / 'params.npz', names)
    return len(found[names[0]]), len(found[names[1]])


def _summary(states: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(state['state'] for state in states)
    text = ', '.join(f'{counts[x]} {x}' for x in ('done', 'failed', 'todo'))
    incomplete = sum(bool(state.get('problems')) for state in states)
    if incomplete:
        text += f'; {incomplete} have problems, see {MANIFEST}'
    return text


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = build_parser()
    args = parser.parse_intermixed_args(argv)
    if args.overwrite:
        parser.error(
            '--overwrite is not supported; remove the folder, or choose '
            'another one'
        )
    run(lambda: infer_all(args), args.out_dir)


if __name__ == '__main__':
    main()
