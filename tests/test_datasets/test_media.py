# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures and videos without labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from aios.datasets import MediaDataset
from aios.utils.media import list_media

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'WholeBodyResize', 'scale': (96, 64), 'backend': 'resize'},
    {'type': 'PackWholeBodyInputs'},
]
GRAYS = (20, 60, 100, 140, 180, 220)


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one in a sub-folder, a text, a video of six frames."""
    for name in ('b.png', 'a.JPG', 'deep/c.webp'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 48, 3), 90, np.uint8))
    (tmp_path / 'notes.txt').write_text('no picture')
    path = str(tmp_path / 'v.avi')
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    video = cv2.VideoWriter(path, codec, 10, (48, 32))
    if not video.isOpened():
        pytest.skip('this OpenCV cannot write videos')
    for gray in GRAYS:
        video.write(np.full((32, 48, 3), gray, np.uint8))
    video.release()
    return tmp_path


def test_list(folder):
    names = [p.name for p in list_media(folder)]
    assert names == ['a.JPG', 'b.png', 'v.avi']
    names = [p.name for p in list_media(folder, recursive=True)]
    assert names == ['a.JPG', 'b.png', 'c.webp', 'v.avi']
    assert [p.name for p in list_media(f'{folder}/*.png')] == ['b.png']
    assert [p.name for p in list_media(folder / 'b.png')] == ['b.png']


@pytest.mark.parametrize('name', ['absent', 'absent/*.png', 'deep/*.txt'])
def test_nothing_there(folder, name):
    with pytest.raises(FileNotFoundError, match=r'\.jpg'):
        list_media(folder / name)


def test_missing_test_set_says_where_data_go(tmp_path):
    with pytest.raises(FileNotFoundError, match='AIOS_DATA') as error:
        MediaDataset(tmp_path / 'agora/test', dataset_name='agora')
    assert f'agora: {tmp_path}/agora/test' in str(error.value)
    assert 'docs/en/datasets.md' in str(error.value)


def test_samples(folder):
    dataset = MediaDataset(folder, PIPELINE)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    assert len(samples) == 2 + len(GRAYS)
    assert [s.img_id for s in samples] == list(range(8))
    assert samples[0].img_path.endswith('a.JPG')
    for sample in samples:
        assert sample.ori_shape == (32, 48)
        assert sample.img_shape == (64, 96)
        assert sample.scale_factor == (2, 2)
        assert 'gt_instances' not in sample
    assert dataset[0]['inputs'].shape == (3, 64, 96)


def gray_of(dataset, index):
    return float(dataset[index]['inputs'].float().mean())


def test_frames_in_any_order(folder):
    dataset = MediaDataset(folder / 'v.avi', PIPELINE)
    for index in (0, 3, 1, 5, 5, 2):
        assert gray_of(dataset, index) == pytest.approx(GRAYS[index], abs=4)


def test_frame_interval(folder):
    dataset = MediaDataset([folder / 'v.avi'], PIPELINE, frame_interval=2)
    grays = [gray_of(dataset, i) for i in range(len(dataset))]
    assert grays == pytest.approx(GRAYS[::2], abs=4)
    with pytest.raises(ValueError, match='frame_interval'):
        MediaDataset(folder, frame_interval=0)


def test_workers(folder):
    """Each worker has a reader of its own."""
    dataset = MediaDataset(folder / 'v.avi', PIPELINE)
    dataset[4]  # the parent's reader is open and ahead
    loader = DataLoader(dataset, num_workers=2, collate_fn=list)
    grays = [float(batch[0]['inputs'].float().mean()) for batch in loader]
    assert grays == pytest.approx(GRAYS, abs=4)


def test_damaged_video(tmp_path):
    (tmp_path / 'v.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='cannot open this video'):
        MediaDataset(tmp_path)
