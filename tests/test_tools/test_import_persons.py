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
    return load_script('tools/blender/import_persons.py')


def _seen_by_blender(points, width, height, settings) -> np.ndarray:
    """Pixels of points in OpenCV's axes, as Blender's manual has it.

    The image is ``sensor_width`` wide at the distance ``lens``; shifts are
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


def glb(document: dict, missing: int = 0) -> bytes:
    """A GLB file; the last bytes may be missing."""
    text = json.dumps(document).encode()
    header = struct.pack('<III', 0x46546C67, 2, 20 + len(text))
    header += struct.pack('<I4s', len(text), b'JSON')
    return (header + text)[: len(header + text) - missing]


def test_reads_the_document(script, tmp_path) -> None:
    document = {'asset': {'version': '2.0'}, 'nodes': [{'name': 'persons'}]}
    path = tmp_path / 'persons.glb'
    path.write_bytes(glb(document))
    assert script.read_document(path) == document


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'solid stl', 'not a GLB file'),
        (
            glb({'nodes': [{'name': 'persons'}]}, 5),
            'truncated, it has 47 of 52 bytes',
        ),
        (glb({'nodes': [{}, {'name': 'box'}]}), 'GLB file of another'),
        (glb({}), 'GLB file of another'),
    ],
)
def test_other_files(script, tmp_path, content, message) -> None:
    path = tmp_path / 'persons.glb'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'persons\.glb: {message}'):
        script.read_document(path)


def test_no_file(script, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'persons\.glb: .*--save-glb'):
        script.read_document(tmp_path / 'persons.glb')


@pytest.mark.parametrize(
    ('extras', 'last'),
    [
        ({'fps': 25.0, 'num_frames': 9}, 8),
        ({'fps': 25.0, 'num_frames': 9, 'duration': 0.32}, 8),
        ({'fps': 25.0, 'num_frames': 5, 'duration': 0.3200001}, 8),
        ({'fps': 30.0, 'num_frames': 5, 'duration': 3600.0001}, 108_000),
        ({'fps': 0.0, 'num_frames': 1, 'duration': 0.0}, 0),
    ],
)
def test_scenes_last_as_long_as_the_motion(script, extras, last) -> None:
    assert script.frame_range(extras) == (extras['fps'] or 1.0, last)


@pytest.mark.parametrize(
    ('name', 'clock'),
    [('a/walk.mp4', (30.0, 100)), ('a/vis.mp4', (None, 0)), (None, (None, 0))],
)
def test_background_of_a_part_of_a_video(script, name, clock) -> None:
    """The source begins earlier than the results; the overlay does not."""
    extras = {
        'fps': 10.0,
        'source': '/home/me/walk.mp4',
        'source_fps': 30.0,
        'source_first_frame': 100,
    }
    assert script.source_clock(extras, name and Path(name)) == clock
    assert script.source_clock({'source': 'walk.mp4'}, Path('walk.mp4')) == (
        None,
        0,
    )
