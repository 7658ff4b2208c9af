# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Classes and base configs of the datasets: files, rules, messages."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gt_fields import check_gt_instances
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from toy_releases import CONFIGS, RELEASES

from aios.datasets import BEDLAMDataset
from aios.registry import DATASETS, register_all_modules


@pytest.mark.parametrize('name', [*RELEASES, 'coco_wholebody'])
def test_every_missing_file_says_what_to_do(name, tmp_path, monkeypatch):
    """Below AIOS_DATA, with the page and, where there is one, the command."""
    register_all_modules()
    monkeypatch.setenv('AIOS_DATA', str(tmp_path))
    config = Config.fromfile(CONFIGS / f'{name}.py')
    sets = {
        k: v
        for k, v in config.items()
        if k.startswith(f'{name}_') and not k.endswith('_evaluator')
    }
    assert sets
    for key, options in sets.items():
        with pytest.raises(FileNotFoundError) as error:
            DATASETS.build(options)
        message = str(error.value)
        assert str(tmp_path) in message, key
        assert 'docs/en/' in message, key
        assert 'AIOS_DATA' in message, key
        if options.type in [
            kind.__name__ for *_, kind, _ in RELEASES.values()
        ]:
            assert f'convert_dataset.py {name} ' in message


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


@pytest.mark.parametrize('name', RELEASES)
def test_labels_are_where_the_persons_are(base_config, name):
    """Base file, AIOS_DATA, training pipeline: joints lie on painted dots."""
    register_all_modules()
    path, phase = base_config(name)
    options = Config.fromfile(path)[f'{name}_{phase}']
    dataset = DATASETS.build(options)
    assert type(dataset) is RELEASES[name][3]
    set_random_seed(0)
    for _ in range(2):
        sample = dataset[0]
        assert sample['data_samples'].dataset_name == name
        persons = sample['data_samples'].gt_instances
        check_gt_instances(persons)
        dots = (sample['inputs'].numpy()[0] > 60).astype(np.uint8)
        # As wide as a dot, and as far as a joint of EHF is off.
        reach = int(3 * sample['data_samples'].scale_factor[0]) + 2
        if name == 'ehf':
            reach = 20
        dots = cv2.dilate(dots, np.ones((2 * reach + 1,) * 2))
        seen = persons.keypoints_visible[:, :25].numpy() > 0
        assert seen.sum() > 10
        pixels = persons.keypoints[:, :25].numpy()[seen].astype(int)
        assert dots[pixels[:, 1], pixels[:, 0]].all()


def test_training_pipelines_differ_in_the_crop_alone():
    """The base files repeat them: configs cannot share one base twice."""
    crops, rest = {}, []
    for path in sorted(CONFIGS.glob('*.py')):
        for name, options in Config.fromfile(path).items():
            if name in [f'{release}_train' for release in RELEASES]:
                steps = [dict(step) for step in options.pipeline]
                crop = steps.pop(2)
                assert crop.pop('type') == 'PersonGroupCrop'
                crops[name] = tuple(crop.values())
                rest.append(steps)
    assert all(steps == rest[0] for steps in rest)
    few = (0.3, 0.5)
    assert crops == {
        'agora_train': (0.7, 0.5),
        'bedlam_train': (0.7, 0.6),
        'coco_train': (0.7, 0.6),
        'ubody_train': few,
        'egobody_train': few,
        'arctic_train': few,
    }


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_batches_of_synthetic_data(toy, phase):
    register_all_modules()
    config = Config.fromfile(CONFIGS / 'synthetic.py')[f'{phase}_dataloader']
    config.num_workers = 0
    config.persistent_workers = False
    config.dataset.data_root = str(toy().root)
    loader = Runner.build_dataloader(config, seed=0)
    samples = [s for batch in loader for s in batch['data_samples']]
    assert sorted(s.img_id for s in samples) == [0, 1, 2]
    for sample in samples:
        check_gt_instances(sample.gt_instances)
        if phase != 'train':
            assert sample.img_shape == (800, 1066)
