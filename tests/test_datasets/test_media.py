# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images without labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from aios.datasets import MediaDataset
from aios.utils.media import list_media

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'WholeBodyResize', 'scale': (96, 64), 'backend': 'resize'},
    {'type': 'PackWholeBodyInputs'},
]


@pytest.fixture
def folder(tmp_path):
    """Two images, one in a sub-folder, a text, a video."""
    for name in ('b.png', 'a.JPG', 'deep/c.webp'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 48, 3), 90, np.uint8))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'v.avi').write_bytes(b'a video')
    return tmp_path


def test_list(folder):
    names = [p.name for p in list_media(folder)]
    assert names == ['a.JPG', 'b.png', 'v.avi']
    names = [p.name for p in list_media(folder, recursive=True)]
    assert names == ['a.JPG', 'b.png', 'c.webp', 'v.avi']
    assert [p.name for p in list_media(f'{folder}/*.png')] == ['b.png']
    assert [p.name for p in list_media(folder / 'b.png')] == ['b.png']


def test_results_are_left_out(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for source in ('.', folder):
        names = [p.name for p in list_media(source, True, 'deep')]
        assert names == ['a.JPG', 'b.png', 'v.avi']
    for without in ('..', '.'):  # results around the source
        assert len(list_media('deep', True, without)) == 1


def test_numbers_in_names_count(tmp_path):
    """As in file managers: frame 10 comes after frame 9."""
    names = ['a2/1.png', 'a2/01.png', 'a10/9.png', 'a10/10.png', 'b.png']
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'')
    found = list_media(tmp_path, recursive=True)
    found = [path.relative_to(tmp_path).as_posix() for path in found]
    assert found == ['a2/01.png', 'a2/1.png', *names[2:]]


def test_hidden_files_are_left_out(folder):
    """macOS adds them to files on other file systems; they are no images."""
    (folder / '.thumbnails').mkdir()
    for name in ('._b.png', 'deep/._c.webp', '._v.avi', '.thumbnails/b.png'):
        (folder / name).write_bytes(b'\0\5\x16\7')
    names = [p.name for p in list_media(folder, recursive=True)]
    assert names == ['a.JPG', 'b.png', 'c.webp', 'v.avi']
    for name in ('._b.png', '.thumbnails'):  # unless they are named
        (hidden,) = list_media(folder / name)
        assert hidden.name.endswith('b.png')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('absent', 'no such file or folder'),
        ('absent/*.png', r'\.jpg'),
        ('deep/*.txt', r'\.jpg'),
    ],
)
def test_nothing_there(folder, name, message):
    with pytest.raises(FileNotFoundError, match=message):
        list_media(folder / name)


def test_missing_test_set_says_where_data_go(tmp_path):
    with pytest.raises(FileNotFoundError, match='AIOS_DATA') as error:
        MediaDataset(tmp_path / 'agora/test', dataset_name='agora')
    assert f'agora: {tmp_path}/agora/test' in str(error.value)
    assert 'docs/en/datasets.md' in str(error.value)


def test_samples(folder):
    (folder / 'v.avi').unlink()
    dataset = MediaDataset(folder, PIPELINE)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    assert [s.img_id for s in samples] == [0, 1]
    assert samples[0].img_path.endswith('a.JPG')
    for sample in samples:
        assert sample.ori_shape == (32, 48)
        assert sample.img_shape == (64, 96)
        assert sample.scale_factor == (2, 2)
        assert 'gt_instances' not in sample
    assert dataset[0]['inputs'].shape == (3, 64, 96)


def test_videos_are_refused(folder):
    with pytest.raises(ValueError, match=r'v\.avi: is a video'):
        MediaDataset(folder)
