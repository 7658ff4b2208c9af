#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Render images or sequences of persons with exact SMPL-X labels.

Examples:
    python tools/make_synthetic_dataset.py data/synthetic --images 500
    python tools/make_synthetic_dataset.py data/synthetic --images 500 \
        --resume --workers 4
    python tools/make_synthetic_dataset.py data/motion --sequences 4 \
        --video 60 --mp4
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from aios.utils.command_line import image_size, number

if TYPE_CHECKING:
    from aios.synthetic import GeneratorOptions

GENDERS = ('neutral', 'male', 'female')


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """``640x480,480x640`` -> ((640, 480), (480, 640))."""
    sizes = tuple(map(image_size, text.split(',')))
    if not all(64 <= side <= 8192 for size in sizes for side in size):
        raise argparse.ArgumentTypeError(
            f'{text!r}: width and height must be 64 to 8192 pixels'
        )
    return sizes


def parse_range(
    kind: type, low: float, high: float, example: str
) -> Callable[[str], tuple]:
    """``1-8`` or ``3`` -> (1, 8) or (3, 3)."""

    def parse(text: str) -> tuple:
        try:
            first, *rest = map(kind, text.split('-'))
            (last,) = rest or (first,)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f'{text!r} is not a number or a range such as {example}'
            ) from None
        if not low <= first <= last <= high:
            raise argparse.ArgumentTypeError(
                f'{text!r}: must be {low} to {high}, ascending'
            )
        return first, last

    return parse


def parse_genders(text: str) -> tuple[str, ...]:
    """``neutral,female`` -> ('neutral', 'female')."""
    genders = tuple(dict.fromkeys(text.split(',')))
    if not set(genders) <= set(GENDERS):
        raise argparse.ArgumentTypeError(
            f'{text!r}: allowed are {", ".join(GENDERS)}'
        )
    return genders


def add_amount(parser: argparse.ArgumentParser) -> None:
    """Add the number of images, or of sequences and their frames."""
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument(
        '--images', type=number(int, 1), help='number of independent images'
    )
    amount.add_argument(
        '--sequences', type=number(int, 1), help='number of motion sequences'
    )
    parser.add_argument(
        '--video',
        type=number(int, 1),
        metavar='FRAMES',
        default=60,
        help='frames per sequence',
    )
    parser.add_argument(
        '--fps',
        type=float,
        default=15.0,
        help='frames per second of sequences',
    )
    parser.add_argument(
        '--mp4',
        action='store_true',
        help='also write each sequence as a video file',
    )


def add_scenes(parser: argparse.ArgumentParser) -> None:
    """Add options of the scenes."""
    parser.add_argument('--seed', type=number(int, 0), default=0)
    parser.add_argument(
        '--size',
        type=parse_sizes,
        default='640x480',
        metavar='WxH,...',
        help='image size, or several to draw from',
    )
    parser.add_argument(
        '--persons',
        type=parse_range(int, 1, 30, '1-8'),
        default='1-8',
        metavar='MIN-MAX',
        help='persons per scene',
    )
    parser.add_argument(
        '--body',
        default='free',
        help="body model: 'free', or a folder or file of SMPL-X models",
    )
    parser.add_argument(
        '--genders',
        type=parse_genders,
        default=','.join(GENDERS),
        metavar='A,B',
    )
    parser.add_argument(
        '--fill',
        type=parse_range(float, 0.1, 3, '0.6-1'),
        metavar='MIN-MAX',
        help='approximate height of the persons relative to the image height '
        '(default: not limited)',
    )
    parser.add_argument(
        '--any-heading',
        action='store_true',
        help='draw body orientations uniformly, instead of mostly facing the '
        'camera',
    )
    parser.add_argument(
        '--backgrounds',
        metavar='FOLDER',
        help='folder of background images, used instead of procedural '
        'backgrounds',
    )
    parser.add_argument(
        '--photographic',
        action='store_true',
        help='imitate photographs: framing, clothes with volume, occluding '
        'objects',
    )
    parser.add_argument(
        '--panoramas',
        metavar='FOLDER',
        help='folder of equirectangular Radiance panoramas (.hdr), used as '
        'background and light with --photographic',
    )
    parser.add_argument(
        '--empty',
        type=number(float, 0, 0.999),
        default=0.0,
        metavar='SHARE',
        help='fraction of images without persons, with --photographic',
    )


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add options of the output."""
    parser.add_argument(
        '--workers',
        type=number(int, 1),
        default=1,
        help='number of processes; does not affect the result',
    )
    parser.add_argument(
        '--supersample',
        type=int,
        default=2,
        choices=(1, 2, 3, 4),
        help='supersampling factor for smooth outlines',
    )
    parser.add_argument(
        '--quality', type=number(int, 1, 100), default=90, help='JPEG quality'
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        '--resume',
        action='store_true',
        help='continue an interrupted dataset, or add to a smaller one',
    )
    mode.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a dataset written by this program',
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('out', help='output folder')
    for add in (add_amount, add_scenes, add_writing):
        add(parser)
    args = parser.parse_args(argv)
    if args.sequences and args.video < 2:
        parser.error('--video must be at least 2 frames')
    if args.photographic and args.sequences:
        parser.error('--photographic needs --images')
    of_sequences = [parser.get_default(n) for n in ('video', 'fps', 'mp4')]
    if args.images and [args.video, args.fps, args.mp4] != of_sequences:
        parser.error('--video, --fps and --mp4 need --sequences')
    if not args.photographic and (args.panoramas or args.empty):
        parser.error('--panoramas and --empty need --photographic')
    if args.photographic and (args.fill or args.any_heading):
        parser.error('--fill and --any-heading exclude --photographic')
    return args


def make_options(args: argparse.Namespace) -> GeneratorOptions:
    """Settings of the dataset.

    Raises:
        FileNotFoundError: A folder of backgrounds or panoramas is missing.
        ValueError: It holds none.
    """
    from aios.synthetic import (
        GeneratorOptions,
        SceneOptions,
        list_images,
        list_panoramas,
    )

    images = list_images(args.backgrounds) if args.backgrounds else ()
    panoramas = list_panoramas(args.panoramas) if args.panoramas else ()
    width, height = args.size[0]
    scene = SceneOptions(
        width,
        height,
        persons=args.persons,
        genders=args.genders,
        backgrounds=tuple(images),
        any_heading=args.any_heading,
        fill=args.fill,
        photographic=args.photographic,
        panoramas=tuple(panoramas),
        empty=args.empty,
    )
    return GeneratorOptions(
        scene=scene,
        seed=args.seed,
        body=args.body,
        frames=1 if args.images else args.video,
        fps=args.fps,
        video=args.mp4,
        supersample=args.supersample,
        quality=args.quality,
        sizes=args.size if len(args.size) > 1 else (),
    )


def main(argv: list[str] | None = None) -> int:
    """Make the dataset; returns the exit status."""
    args = parse_args(argv)
    # Set before numpy and torch start their threads: one core per process.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    from tqdm import tqdm

    from aios.synthetic import generate_dataset

    count = args.images or args.sequences
    unit = 'image' if args.images else 'sequence'
    try:
        options = make_options(args)
        with tqdm(total=count, unit=unit) as bar:
            counts = generate_dataset(
                args.out,
                count,
                options,
                workers=args.workers,
                resume=args.resume,
                overwrite=args.overwrite,
                progress=bar.update,
            )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'\nstopped; --resume continues ({args.out})', file=sys.stderr)
        return 130
    numbers = ', '.join(f'{k} {v}' for k, v in sorted(counts.items()))
    print(f'{args.out}: {numbers}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
