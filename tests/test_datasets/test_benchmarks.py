# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Classes and base configs of the data sets: files, rules, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from toy_releases import RELEASES

from aios.datasets import AGORADataset, BEDLAMDataset
from aios.registry import DATASETS
from aios.utils import register_all_modules


def test_missing_annotations_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        AGORADataset('absent.npz', str(tmp_path))
    message = str(error.value)
    assert str(tmp_path / 'absent.npz') in message
    assert 'tools/dataset_converters/agora2humandata.py' in message
    assert 'docs/en/datasets.md#agora' in message


def test_first_annotation_file_that_exists(converted, tmp_path):
    root, _, out, _ = converted('bedlam')
    dataset = BEDLAMDataset(
        ['absent.npz', str(out)],
        str(root),
        {'img': 'train_images'},
        cache_dir=str(tmp_path),
        flat_hand_mean=False,
    )
    assert dataset.ann_file == str(out)
    with pytest.raises(FileNotFoundError, match='one.npz'):
        BEDLAMDataset(['one.npz', 'two.npz'], str(root))


@pytest.mark.parametrize('name', [n for n in RELEASES if n != 'ehf'])
def test_config(converted, models, name, tmp_path, monkeypatch):
    """The base config finds everything below AIOS_DATA."""

    register_all_modules()
    monkeypatch.setenv('AIOS_DATA', str(tmp_path))
    root, _, out, _ = converted(name)
    path = Path(__file__).parents[2] / f'configs/_base_/datasets/{name}.py'
    config = Config.fromfile(path)
    phase = 'val' if name == 'arctic' else 'train'
    options = config[f'{name}_{phase}']
    place = tmp_path / options.ann_file[0]
    place.parent.mkdir(parents=True)
    place.symlink_to(out)
    images = tmp_path / options.data_prefix.img
    images.parent.mkdir(parents=True, exist_ok=True)
    images.symlink_to(root / RELEASES[name][4])
    options.body_model_path = models
    dataset = DATASETS.build(options)
    assert len(dataset)
    assert type(dataset) is RELEASES[name][3]


def test_occlusion_of_tests(converted, models, tmp_path):
    """Sampling and occlusion rules are those of training only."""
    root, _, out, _ = converted('bedlam')
    options = {'cache_dir': str(tmp_path), 'body_model_path': models}
    place = (str(out), str(root), {'img': 'train_images'})
    assert len(BEDLAMDataset(*place, **options)) == 1  # every fifth of 4
    assert len(BEDLAMDataset(*place, test_mode=True, **options)) == 4
