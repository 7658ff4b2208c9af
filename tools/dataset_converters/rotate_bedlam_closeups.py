#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Rotate BEDLAM's close-up images upright.

Images of scenes with _closeup in their names are stored rotated by 90 degrees,
except for one scene, which is recognized by the cameras in its label file.
Labels refer to the images rotated by 90 degrees clockwise, in a folder whose
name has no _closeup. Existing images are skipped.

Example:
    python tools/dataset_converters/rotate_bedlam_closeups.py \
        data/datasets/bedlam/train_images --workers 4
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from tqdm import tqdm

from aios.datasets.converters.bedlam import CLOSEUP, LABELS, is_upright
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    number,
)
from aios.utils.folders import visible_paths
from aios.utils.images import decode_image
from aios.utils.safe_io import (
    CorruptFileError,
    atomic_write,
    load_npz,
)


def rotate(source: Path, target: Path) -> bool:
    """Write one rotated image; False if it exists."""
    if target.exists():
        return False
    image = decode_image(source.read_bytes(), str(source))
    turned = cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)
    _, data = cv2.imencode('.png', turned)
    with atomic_write(target) as stream:
        stream.write(data.tobytes())
    return True


def labels_are_upright(labels: Path, scene: Path) -> bool:
    """Whether a scene's labels refer to rotated images."""
    file = labels / f'{scene.name}.npz'
    if not file.is_file():
        raise FileNotFoundError(
            f'{file} does not exist; its cameras determine whether images '
            'must be rotated'
        )
    cameras = load_npz(file, ('cam_int',)).get('cam_int')
    if cameras is None or cameras.shape[1:] != (3, 3) or not len(cameras):
        raise CorruptFileError(f'{file}: cam_int must have shape (N, 3, 3)')
    if not is_upright(cameras):
        print(f'{scene.name}: not rotated, labels refer to the stored images')
        return False
    return True


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'images', type=Path, help='folder train_images of the release'
    )
    parser.add_argument(
        '--workers', type=number(int, 1), default=1, help='number of threads'
    )
    parser.add_argument(
        '--labels',
        type=Path,
        help=f'folder of the label files (default: {LABELS} next to the '
        'images)',
    )
    args = parser.parse_args(argv)
    labels = args.labels or args.images.absolute().parent / LABELS
    scenes = visible_paths(args.images, f'*{CLOSEUP}*')
    if not scenes:
        raise ValueError(f'{args.images}: no folder matches *{CLOSEUP}*')
    turned_scenes = [s for s in scenes if labels_are_upright(labels, s)]
    jobs = []
    for scene in turned_scenes:
        upright = scene.with_name(scene.name.replace(CLOSEUP, ''))
        jobs += [
            (path, upright / path.relative_to(scene))
            for path in visible_paths(scene, '**/*.png')
        ]
    with ThreadPoolExecutor(args.workers) as pool:
        turned = tqdm(
            pool.map(lambda job: rotate(*job), jobs),
            total=len(jobs),
            unit='image',
        )
        count = sum(turned)
    print(f'rotated {count} images, {len(jobs) - count} existed already')


if __name__ == '__main__':
    main()
