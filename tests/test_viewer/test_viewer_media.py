# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from aios.viewer import make_image_track

TIMES = (0.0, 0.2, 0.4, 0.6)


def test_images_become_one_file_each(images, tmp_path) -> None:
    track = make_image_track(images, tmp_path, TIMES, max_side=160)
    assert (track.kind, track.mime_type) == ('images', 'image/jpeg')
    assert len(track.paths) == 4
    for path, image in zip(track.paths, images, strict=True):
        read = cv2.imread(str(path))[..., ::-1]
        assert read.shape == (120, 160, 3)
        assert np.abs(read[60, 80].astype(int) - image[0, 0]).max() < 12


def test_missing_images_are_gray_and_as_large(images, tmp_path) -> None:
    given = [None, None, images[2], None]
    track = make_image_track(given, tmp_path, TIMES)
    read = [cv2.imread(str(path))[..., ::-1] for path in track.paths]
    assert {image.shape for image in read} == {images[0].shape}
    means = np.array([image.mean((0, 1)) for image in read])
    np.testing.assert_allclose(means[[0, 1, 3]], 60, atol=2)
    np.testing.assert_allclose(means[2], images[2][0, 0], atol=6)


def test_frames_of_a_video_become_a_video(images, tmp_path) -> None:
    track = make_image_track(
        [None, *images[1:]], tmp_path, TIMES, fps=5.0, max_side=100
    )
    assert (track.kind, track.mime_type) == ('video', 'video/mp4')
    (path,) = track.paths
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == 'h264'
        frames = list(container.decode(stream))
    assert [round(frame.time, 3) for frame in frames] == list(TIMES)
    assert {(frame.width, frame.height) for frame in frames} == {(100, 76)}


@pytest.mark.parametrize(
    ('given', 'options', 'message'),
    [
        ([None] * 4, {}, 'no frame has an image'),
        ([np.zeros((8, 8, 3), np.uint8)] * 3, {}, '3 images for 4'),
        ([np.zeros((8, 8, 3), np.uint8)] * 5, {}, '5 images for 4'),
        ([], {'max_side': 3}, 'max_side'),
    ],
)
def test_what_cannot_be_shown(given, options, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        make_image_track(given, tmp_path, TIMES, **options)
