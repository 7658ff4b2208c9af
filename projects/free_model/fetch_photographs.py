# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Collect real photographs and video frames for evaluation.

They come from Debian packages, which apt-get downloads to a temporary folder,
and from the installed scikit-image and matplotlib. Their licenses differ, so
they are downloaded and not part of this package::

    pip install scikit-image matplotlib
    python projects/free_model/fetch_photographs.py photos

``photos/persons`` has photographs of persons, ``photos/empty`` photographs
without persons: animals, plants, objects, streets, wallpapers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from aios.apis.images import read_image
from aios.utils.command_line import errors_in_one_line, make_parser
from aios.visualization import write_image

FRAME_INTERVAL = 40  # of the video vtest.avi, 10 frames a second
LONG_SIDE = 1280  # pixels; larger photographs are downscaled

OPENCV = 'usr/share/doc/opencv-doc/examples/data'
WITH_PERSONS = {
    'opencv-doc': (OPENCV, 'basketball1.png basketball2.png messi5.jpg')
}
WITHOUT_PERSONS = {
    'opencv-doc': (
        OPENCV,
        'aero1.jpg aloeL.jpg apple.jpg baboon.jpg blox.jpg board.jpg '
        'box_in_scene.png building.jpg butterfly.jpg cards.png fruits.jpg '
        'home.jpg leuvenA.jpg licenseplate_motion.jpg orange.jpg '
        'rubberwhale1.png smarties.png squirrel_cls.jpg starry_night.jpg '
        'stuff.jpg sudoku.png',
    ),
    'mate-backgrounds': (
        'usr/share/backgrounds/mate',
        'abstract/Elephants.jpg nature/Aqua.jpg nature/Blinds.jpg '
        'nature/Dune.jpg nature/FreshFlower.jpg nature/Garden.jpg '
        'nature/GreenMeadow.jpg nature/LadyBird.jpg nature/RainDrops.jpg '
        'nature/Storm.jpg nature/TwoWings.jpg nature/Wood.jpg '
        'nature/YellowFlower.jpg',
    ),
    'plasma-workspace-wallpapers': (
        'usr/share/wallpapers',
        'BytheWater/contents/screenshot.jpg '
        'Canopee/contents/screenshot.png Cascade/contents/screenshot.png '
        'ColorfulCups/contents/screenshot.jpg '
        'OneStandsOut/contents/screenshot.jpg',
    ),
    'ukui-wallpapers': (
        'usr/share/backgrounds',
        'calla.png city.png desert.png goldfish.png the-mouse.jpg',
    ),
}
SKIMAGE_WITH_PERSONS = ('astronaut', 'camera')
SKIMAGE_WITHOUT_PERSONS = (
    *('brick', 'chelsea', 'clock', 'coffee', 'coins', 'grass', 'gravel'),
    *('hubble_deep_field', 'moon', 'page', 'rocket', 'text'),
)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    kinds = {'persons': _persons, 'empty': _empty}
    collect(__doc__, kinds, argv)


@errors_in_one_line()
def collect(
    description: str | None,
    kinds: Mapping[str, Callable[[Path], Iterator[tuple[str, np.ndarray]]]],
    argv: list[str] | None,
) -> None:
    """Main function of a program that makes a folder of photographs.

    Args:
        description: Text of ``--help``.
        kinds: By the name of a subfolder, a function that gives names and BGR
            images, and may store files in the temporary folder it gets.
        argv: Command line; default: that of the process.

    Raises:
        SystemExit: If the output folder exists.
    """
    parser = make_parser(description)
    parser.add_argument('out', type=Path, help='output folder; must not exist')
    out = parser.parse_args(argv).out
    if out.exists():
        sys.exit(f'error: {out} exists; choose another folder')
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as temporary:
        photos = Path(temporary, 'photos')
        counts = {
            kind: _save(images(Path(temporary)), photos / kind)
            for kind, images in kinds.items()
        }
        photos.rename(out)
    print(f'{out}: {counts}')


def _save(images: Iterator[tuple[str, np.ndarray]], folder: Path) -> int:
    """Write images as PNG and return their number."""
    folder.mkdir(parents=True)
    for name, image in images:
        scale = LONG_SIDE / max(image.shape[:2])
        if scale < 1:
            image = cv2.resize(
                image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
            )
        write_image(image[..., ::-1], folder / f'{name}.png')
    return len(list(folder.iterdir()))


def _persons(temporary: Path) -> Iterator[tuple[str, np.ndarray]]:
    from matplotlib import cbook

    yield from _of_scikit_image(SKIMAGE_WITH_PERSONS)
    with cbook.get_sample_data('grace_hopper.jpg', asfileobj=True) as file:
        data = np.frombuffer(file.read(), np.uint8)
    yield 'grace_hopper', cv2.imdecode(data, cv2.IMREAD_COLOR)
    yield from _of_packages(WITH_PERSONS, temporary)
    yield from _frames(_unpack('opencv-doc', temporary) / OPENCV / 'vtest.avi')


def _empty(temporary: Path) -> Iterator[tuple[str, np.ndarray]]:
    yield from _of_scikit_image(SKIMAGE_WITHOUT_PERSONS)
    yield from _of_packages(WITHOUT_PERSONS, temporary)


def _of_scikit_image(
    names: tuple[str, ...],
) -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data

    for name in names:
        image = getattr(data, name)()
        code = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
        yield name, cv2.cvtColor(image, code)


def _of_packages(
    packages: dict[str, tuple[str, str]], temporary: Path
) -> Iterator[tuple[str, np.ndarray]]:
    for package, (folder, names) in packages.items():
        root = _unpack(package, temporary) / folder
        for name in names.split():
            parts = Path(name).with_suffix('').parts
            stem = parts[0] if 'contents' in parts else parts[-1]
            yield stem, read_image(root / name)[0]


def _unpack(package: str, temporary: Path) -> Path:
    """Folder of the files of a Debian package, downloaded once."""
    folder = temporary / package
    if not folder.exists():
        folder.mkdir()
        try:
            subprocess.run(
                ['apt-get', 'download', package], cwd=folder, check=True
            )
            (archive,) = folder.glob('*.deb')
            subprocess.run(
                ['dpkg', '--extract', archive.name, '.'],
                cwd=folder,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(
                f'error: {package}: {error}; apt-get of Debian or Ubuntu is '
                'needed'
            )
    return folder


def _frames(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    video = cv2.VideoCapture(str(path))
    index = 0
    while True:
        is_read, frame = video.read()
        if not is_read:
            break
        if index % FRAME_INTERVAL == 0:
            yield f'vtest_{index:04d}', frame
        index += 1
    if not index:
        sys.exit(f'error: {path}: cannot be read')


if __name__ == '__main__':
    main()
