# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The parts of the Blender script that need no Blender."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def script() -> ModuleType:
    return load_script('tools/blender/import_people.py')


def _seen_by_blender(points, width, height, settings) -> np.ndarray:
    """Pixels of points in OpenCV's axes, as Blender's manual has it.

    The picture is ``sensor_width`` wide at the distance ``lens``; shifts are
    in widths of the sensor, upwards and to the right; a pixel is
    ``pixel_aspect_x`` wide and ``pixel_aspect_y`` high.
    """
    x, y, z = points.T
    focal = settings['lens'] / settings['sensor_width']
    ratio = settings['pixel_aspect_y'] / settings['pixel_aspect_x']
    right = focal * x / z - settings['shift_x']  # widths from the middle
    up = focal * -y / z - settings['shift_y']
    return np.stack(
        [width / 2 + right * width, height / 2 - up * width / ratio], axis=1
    )


@pytest.mark.parametrize(
    ('K', 'size'),
    [
        ([[900, 0, 320], [0, 900, 240], [0, 0, 1]], (640, 480)),
        ([[400, 0, 140], [0, 380, 130], [0, 0, 1]], (320, 240)),
        ([[850, 0, 100], [0, 900, 400], [0, 0, 1]], (240, 640)),
    ],
)
def test_camera(script, K, size) -> None:
    points = np.random.default_rng(0).normal(size=(20, 3)) + (0, 0, 8)
    projected = points @ np.array(K, float).T
    wanted = projected[:, :2] / projected[:, 2:]
    settings = script.blender_camera(K, *size)
    seen = _seen_by_blender(points, *size, settings)
    np.testing.assert_allclose(seen, wanted, atol=1e-9)
    # Blender takes no smaller pixels.
    assert min(settings['pixel_aspect_x'], settings['pixel_aspect_y']) == 1


def test_reads_the_document(script, tmp_path) -> None:
    document = {'asset': {'version': '2.0'}, 'scenes': [{}]}
    text = json.dumps(document).encode()
    path = tmp_path / 'people.glb'
    header = struct.pack('<III', 0x46546C67, 2, 20 + len(text))
    path.write_bytes(header + struct.pack('<I4s', len(text), b'JSON') + text)
    assert script.read_document(path) == document
    path.write_bytes(b'solid stl')
    with pytest.raises(ValueError, match=r'people\.glb: is no GLB file'):
        script.read_document(path)
