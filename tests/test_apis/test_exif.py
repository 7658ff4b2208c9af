# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The focal length that cameras write into images."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from api_images import photo
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from aios.apis import CameraModel, Outputs, open_sources, run_inference
from aios.apis.exif import ExifError, FocalLength, exif_focal_length
from aios.results import SequenceResult
from aios.structures import Camera

SIZE = (72, 48)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'photo.jpg'


def test_equivalent(path: Path):
    """The angle of view is that of a film of 36 x 24 mm."""
    focal = exif_focal_length(photo(path, xA405=50), SIZE)
    assert focal.pixels == pytest.approx(100)
    assert 0.02 < focal.std < 0.05
    # 4:3 has the same angle across the diagonal.
    focal = exif_focal_length(photo(path, (80, 60), xA405=50), (80, 60))
    half = math.atan(100 / 2 / focal.pixels)
    assert half == pytest.approx(math.atan(math.hypot(36, 24) / 2 / 50))
    # Short focal lengths in whole millimeters are less exact, as are cuts.
    assert exif_focal_length(photo(path, xA405=9), SIZE).std > 0.04
    wide = exif_focal_length(photo(path, (160, 90), xA405=50), (160, 90))
    assert wide.std > 0.05


def test_the_turn_of_an_image_does_not_matter(path: Path):
    photo(path, xA405=50)
    assert exif_focal_length(path, SIZE) == exif_focal_length(path, SIZE[::-1])


def test_sensor(path: Path):
    """60 pixels per centimeter, 72 of them: a sensor of 12 mm."""
    focal = dict(x920A=IFDRational(6), xA20E=IFDRational(60), xA210=3)
    found = exif_focal_length(photo(path, **focal), SIZE)
    assert found.pixels == pytest.approx(36)
    # The image was made smaller afterwards.
    found = exif_focal_length(photo(path, xA002=72, **focal), (36, 24))
    assert found.pixels == pytest.approx(18)
    inches = dict(focal, xA20E=IFDRational(Fraction('152.4')), xA210=2)
    found = exif_focal_length(photo(path, **inches), SIZE)
    assert found.pixels == pytest.approx(36)


def test_canon(path: Path):
    """An EOS 5D Mark II: 36 mm are within the standard deviation."""
    tags = dict(x920A=IFDRational(50), xA20E=IFDRational(5616000, 1459))
    tags |= dict(xA210=2, xA002=5616, xA003=3744)
    photo(path, make='Canon', model='Canon EOS 5D Mark II', **tags)
    found = exif_focal_length(path, (5616, 3744))
    assert found.pixels == pytest.approx(50 * 5616 / 36, rel=found.std)


def test_known_camera(path: Path):
    photo(path, make='FUJIFILM', model='X-T30', x920A=IFDRational(23.5))
    assert exif_focal_length(path, SIZE).pixels == pytest.approx(72)
    photo(path, make='FUJIFILM', model='unknown', x920A=IFDRational(23.5))
    assert exif_focal_length(path, SIZE) is None


def test_nothing_said(path: Path):
    Image.new('RGB', SIZE).save(path)
    assert exif_focal_length(path, SIZE) is None
    # Zero means unknown in this tag.
    assert exif_focal_length(photo(path, xA405=0), SIZE) is None


NONSENSE = [
    ({'xA405': 'fifty'}, 'FocalLengthIn35mmFilm'),
    ({'x920A': IFDRational(0)}, 'FocalLength must be'),
    ({'x920A': IFDRational(5, 0)}, 'FocalLength must be'),
    ({'x920A': '5 mm'}, 'FocalLength must be'),
    ({'x920A': IFDRational(5), 'xA20E': IFDRational(1, 0)}, 'FocalPlaneX'),
    (
        {'x920A': IFDRational(5), 'xA20E': IFDRational(1)},
        'sensor width of 1829 mm',
    ),
    (
        {'x920A': IFDRational(5), 'xA20E': IFDRational(1), 'xA210': 9},
        'FocalPlaneResolutionUnit is 9',
    ),
    ({'xA405': 65535}, 'implausible for an image of 72 x 48'),
]


@pytest.mark.parametrize(('tags', 'match'), NONSENSE)
def test_nonsense_is_told_and_the_image_read(path: Path, tags, match):
    photo(path, **tags)
    with pytest.raises(ExifError, match=f'photo.jpg: EXIF .*{match}'):
        exif_focal_length(path, SIZE)
    (source,) = open_sources(path)
    (frame,) = source.frames()
    assert frame.image.shape == (48, 72, 3)
    assert frame.focal_length is None
    assert not source.problems
    (note,) = source.notes
    assert match in note


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
def test_broken_exif(path: Path):
    content = bytearray(photo(path, xA405=50).read_bytes())
    start = content.index(b'Exif')
    content[start + 10 : start + 40] = b'\xff' * 30
    path.write_bytes(content)
    assert exif_focal_length(path, SIZE) is None


def test_not_an_image(path: Path):
    np.save(path.open('wb'), np.zeros(3))
    assert exif_focal_length(path, SIZE) is None


def test_results_say_where_the_camera_is_from(
    inferencer, images: Path, tmp_path: Path
):
    photo(images / 'b.jpg', xA405=50)
    photo(images / 'd.jpg', xA405='fifty')
    out = tmp_path / 'out'
    summary = run_inference(
        inferencer,
        open_sources(images),
        out,
        outputs=Outputs(vis=False, formats=['json']),
    )
    (note,) = summary.notes
    assert 'd.jpg: EXIF FocalLengthIn35mmFilm' in note
    persons = SequenceResult.load(out / 'params.npz')
    assert persons.frame_names.tolist() == ['a', 'b', 'c', 'd']
    origins = ['virtual', 'exif', 'virtual', 'virtual']
    assert persons.camera_origin.tolist() == origins
    assert np.isnan(persons.focal_std).tolist() == [True, False, True, True]
    assert persons.K[1, 0, 0] == pytest.approx(100)
    assert persons.K[0, 0, 0] > 300
    assert persons.joints3d[persons.frame_index == 1, 0, 2].max() < 10
    alone = SequenceResult.load(out / 'params' / 'b.npz')
    assert alone.camera_origin.tolist() == ['exif']
    entries = json.loads((out / 'keypoints.json').read_text())['images']
    assert [image['camera_origin'] for image in entries] == origins
    assert entries[0]['focal_std'] is None
    assert entries[1]['focal_std'] == pytest.approx(persons.focal_std[1])
    (cameras,) = json.loads((out / 'run.json').read_text())['cameras'].values()
    assert sum(camera['frames'] for camera in cameras) == 4
    (exif,) = (c for c in cameras if c['camera_origin'] == 'exif')
    assert exif['K'] == persons.K[1].tolist()
    assert exif['image_size'] == [72, 48]


def test_users_know_better(inferencer, path: Path):
    (frame,) = inferencer.stream(photo(path, xA405=50))
    assert frame.camera_origin == 'exif'
    virtual = Camera.virtual(48, 72).K
    focal = FocalLength(100.0, 0.03)
    for camera, origin, wanted in (
        (CameraModel(), 'exif', 100),
        (CameraModel(exif=False), 'virtual', virtual[0, 0]),
        (CameraModel(focal_length=70.0), 'user', 70),
    ):
        seen = replace(frame, K=virtual, camera_origin='virtual')
        placed = camera.place(seen, focal)
        assert placed.camera_origin == origin
        assert placed.K[0, 0] == wanted
