#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Download the panoramas that light the training images.

These are 16 equirectangular panoramas of Poly Haven (CC0), 512 x 256, from
the npm package @pmndrs/assets (CC0).  Needs npm and ``pip install OpenEXR``.

    python projects/free_model/fetch_panoramas.py data/panoramas

writes ``train/*.hdr`` and ``held_out/*.hdr``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np

from aios.utils.command_line import errors_in_one_line
from aios.utils.optional import import_optional
from aios.visualization import write_image

PACKAGE = '@pmndrs/assets@1.7.0'
SHA512 = (
    'cc798a352fb726fbbd2b7cc90507d840a4fd3e7f4842df2cd2afde242dc25caa'
    '56a7283a2016be8af37d3600e7f9f0d3d80563521d98459fff19752e7ae01d0a'
)
HELD_OUT = ('bridge', 'lobby', 'park', 'workshop')
UNUSED = ('sky', 'studio')  # without a ground, or with lamps only


def fetch(folder: Path) -> Path:
    """Downloads the package with npm.

    Args:
        folder: Folder of the archive.

    Returns:
        The archive.

    Raises:
        ValueError: If npm is missing or fails.
    """
    command = ['npm', 'pack', '--silent', PACKAGE]
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise ValueError(f'{" ".join(command)} failed: {error}') from None
    return next(folder.glob('*.tgz'))


def check(archive: Path) -> None:
    """Verifies that an archive is the published one.

    Raises:
        ValueError: If its hash differs.
    """
    if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
        raise ValueError(
            f'{archive}: SHA-512 differs from that of the published {PACKAGE}'
        )


def read_exr(data: bytes) -> np.ndarray:
    """Decodes an EXR file.

    Args:
        data: The file; DWAB compression is allowed.

    Returns:
        ``(H, W, 3)`` float32 linear RGB.
    """
    # DWAB is not in OpenCV's wheels.
    open_exr = import_optional('OpenEXR', 'OpenEXR', 'reading panoramas')
    with tempfile.NamedTemporaryFile(suffix='.exr') as file:
        file.write(data)
        file.flush()
        channels = open_exr.File(file.name).channels()
        pixels = channels['RGB' if 'RGB' in channels else 'RGBA'].pixels
    return np.ascontiguousarray(pixels[..., :3], np.float32)


def mend(panorama: np.ndarray) -> np.ndarray:
    """Fills black, partly negative, rings of resampling.

    They surround lamps and windows.  Saturated colors, of which a channel
    may be zero, are kept.

    Args:
        panorama: ``(H, W, 3)`` linear RGB.

    Returns:
        The panorama with rings filled from their neighborhood.
    """
    panorama = panorama.astype(np.float32)
    level = panorama.mean(-1)
    dark = level < 0.05 * cv2.blur(np.abs(level), (9, 9))
    dark = cv2.dilate(dark.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0
    lit = np.where(dark[..., None], 0, np.maximum(panorama, 0))
    around = cv2.dilate(lit, np.ones((5, 5), np.uint8))
    around = np.minimum(around, 4 * np.median(level))
    fill = dark[..., None] & (around > 0)
    return np.where(fill, around, np.maximum(panorama, 0))


def convert(archive: Path, out: Path) -> int:
    """Writes the panoramas of the package as Radiance files.

    Args:
        archive: The npm package.
        out: Output folder.

    Returns:
        Number of panoramas written.
    """
    count = 0
    with tarfile.open(archive) as package:
        for member in package:
            match = re.fullmatch(r'package/hdri/(\w+)\.exr\.js', member.name)
            stream = package.extractfile(member) if match else None
            if match is None or stream is None or match[1] in UNUSED:
                continue
            text = re.search(rb'base64,([A-Za-z0-9+/=]+)', stream.read())
            if text is None:
                raise ValueError(
                    f'{archive}: {member.name} is not an EXR image'
                )
            image = mend(read_exr(base64.b64decode(text[1])))
            kind = 'held_out' if match[1] in HELD_OUT else 'train'
            path = out / kind / f'{match[1]}.hdr'
            write_image(image, path, overwrite=True)
            count += 1
    return count


@errors_in_one_line()
def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=Path, help='output folder')
    parser.add_argument(
        '--archive',
        type=Path,
        help=f'local file of {PACKAGE} (default: download it with npm)',
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = args.archive or fetch(Path(folder))
        check(archive)
        count = convert(archive, args.out)
    print(f'{args.out}: {count} panoramas')


if __name__ == '__main__':
    main()
