# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images are decoded after their header was looked at."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzz.harness import Reader, run_cases
from PIL import Image
from script_loader import run_python

from aios.utils.images import decode_image, imread

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), 'u1')


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    content = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(b'\0'))
    return b'\x89PNG\r\n\x1a\n' + content + chunk(b'IEND', b'')


def gif(width: int, height: int) -> bytes:
    size = struct.pack('<HH', width, height)
    block = b',' + 4 * b'\0' + size + b'\0\x02\x02D\x01\0;'
    return b'GIF89a' + size + b'\x80\0\0' + 6 * b'\0' + block


def bmp(width: int, height: int) -> bytes:
    header = struct.pack('<IiiHHIIiiII', 40, width, height, 1, 24, *6 * [0])
    return b'BM' + struct.pack('<IHHI', 54, 0, 0, 54) + header


def ppm(width: int, height: int) -> bytes:
    return f'P6 {width} {height} 255\n'.encode() + bytes(9)


@pytest.mark.parametrize(
    'suffix', ['png', 'jpg', 'bmp', 'webp', 'tiff', 'avif']
)
def test_formats(suffix: str) -> None:
    _, content = cv2.imencode(f'.{suffix}', PIXELS)
    expected = cv2.imdecode(content, cv2.IMREAD_COLOR)
    image = decode_image(content.tobytes(), 'a')
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize('orientation', [1, 6])
def test_imread_is_that_of_opencv(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / 'ü 猫.jpg'
    Image.fromarray(PIXELS).save(path, exif=exif)
    expected = cv2.imread(str(path))
    assert expected.shape[0] == (60 if orientation == 6 else 40)
    np.testing.assert_array_equal(imread(path), expected)
    path.write_bytes(b'')
    assert imread(path) is None


def test_common_formats_are_read_without_all_plugins(tmp_path: Path) -> None:
    """Each worker of a data loader would hold all 40 for itself."""
    cv2.imwrite(str(tmp_path / 'a.jpg'), PIXELS)
    code = (
        'import sys, aios.utils.images as images\n'
        'images.decode_image(open(sys.argv[1], "rb").read(), "a")\n'
        'print("PIL.JpegImagePlugin" in sys.modules,'
        ' "PIL.WebPImagePlugin" in sys.modules)'
    )
    output = run_python('-c', code, tmp_path / 'a.jpg')
    assert output.split() == ['True', 'False']


@pytest.mark.parametrize(
    ('make', 'size'),
    [
        (png, (65535, 65535)),
        (png, (1, 1 << 30)),
        (png, (20000, 20000)),
        (gif, (30000, 30000)),
        (bmp, (65535, 65535)),
        (bmp, (65535, -65535)),
        (ppm, (65535, 65535)),
    ],
)
def test_headers_that_announce_much(tmp_path: Path, make, size) -> None:
    (tmp_path / 'a.png').write_bytes(make(*size))

    def read(path: Path) -> np.ndarray:
        return decode_image(path.read_bytes(), str(path))

    reader = Reader('image', 'a.png', None, print, read)
    (result,) = run_cases(reader, [tmp_path / 'a.png'])
    assert result.end == 'refused', result
    assert make(8, 8)[:2] == make(*size)[:2]


HEIC = b'\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf'


@pytest.mark.parametrize('content', [b'', b'no image', png(8, 8)[:60], HEIC])
def test_damaged_ones(content: bytes) -> None:
    with pytest.raises(ValueError, match=r'a\.png.*bytes'):
        decode_image(content, 'a.png')


@pytest.mark.parametrize('seed', [86, 675, 1174, 1290, 1963, 2095])
def test_damaged_photograph_of_a_phone(seed: int) -> None:
    """With these three bytes pi-heif 1.4, another reader, crashed."""
    pytest.importorskip('pillow_heif')
    path = Path(__file__).parents[1] / 'data/images/phone.heic'
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(content), 3)
    for place, value in zip(places, rng.integers(0, 256, 3), strict=True):
        content[place] = value
    try:
        image = decode_image(bytes(content), 'a.heic')
    except ValueError as error:
        assert str(error).startswith('a.heic: ')
    else:
        assert image.shape[2] == 3
