# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The caches published with AiOS give the labels of their HumanData file."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
from toy_human_data import EYES, cache_item

from aios.datasets import AiOSCacheDataset, HumanDataError, HumanDataset
from aios.datasets.aios_cache import reroot
from aios.datasets.human_dataset import read_hand_mean


@pytest.fixture
def cached(toy, tmp_path):
    """A HumanData file and a cache of it, as AiOS wrote them."""
    files = toy()
    reference = HumanDataset(
        files.ann_file, data_prefix={'img': str(files.root)}
    )

    def write(change=None, rooted='/their/agora/'):
        items = {}
        for i in range(len(reference)):
            item = cache_item(reference, i, rooted)
            if change is not None:
                change(i, item)
            items[str(i)] = np.array(item, dtype=object)
        path = tmp_path / 'cache.npz'
        np.savez_compressed(
            path,
            data_len=np.array(len(items)),
            data_strategy=np.array(None, dtype=object),
            **items,
        )
        return str(path)

    def read(change=None, rooted='/their/agora/', **options):
        prefix = {'img': str(files.root)}
        path = write(change, rooted)
        return AiOSCacheDataset(path, data_prefix=prefix, **options)

    return SimpleNamespace(
        root=files.root, reference=reference, write=write, read=read
    )


def persons_of(dataset, index=0):
    return dataset.get_data_info(index)['instances_arrays']


def test_same_labels(cached):
    cache, reference = cached.read(), cached.reference
    assert len(cache) == len(reference)
    for mine, theirs in zip(infos(cache), infos(reference), strict=True):
        assert os.path.samefile(
            mine['img_path'], cached.root / f'images/{mine["img_id"]:06d}.png'
        )
        for name in ('height', 'width'):
            assert mine[name] == theirs[name]
        one, two = mine['instances_arrays'], theirs['instances_arrays']
        two['lhand_valid'][0] = two['lhand_bboxes'][0] = 0
        assert set(one) == set(two)
        for name, value in one.items():
            np.testing.assert_allclose(
                value, two[name], atol=1e-6, err_msg=name
            )


def test_eyes_as_stored(cached):
    mine = persons_of(cached.read(legacy_eye_swap=False))['keypoints']
    theirs = persons_of(cached.reference)['keypoints']
    np.testing.assert_array_equal(mine[:, EYES], theirs[:, EYES[::-1]])


def test_rules_of_a_benchmark(cached):
    agora = cached.read(benchmark='AGORADataset')
    persons = persons_of(agora)
    assert not persons['smplx_pose_valid'].any()  # all are occluded
    assert not persons['smplx_betas_valid'].any()
    assert (persons['bboxes'][:, 2:] > persons['bboxes'][:, :2]).all()
    assert agora.dataset_name == 'agora'
    bedlam = cached.read(benchmark='BEDLAMDataset')
    assert len(bedlam) == 3  # a cache is sampled already
    assert not persons_of(bedlam)['smplx_betas'].any()  # neutral shapes
    with pytest.raises(ValueError, match='AGORADataset'):
        cached.read(benchmark='HumanDataset')


def test_options_without_effect_are_refused(cached):
    options = dict(sample_interval=5, drop_rules=('duplicate',))
    with pytest.raises(ValueError, match=r"\['drop_rules', 'sample_interval"):
        cached.read(benchmark='BEDLAMDataset', **options)


def test_raw_visibilities_of_ubody(cached):
    """The UBody cache holds 0, 1, 2: above 0 counts as 1."""

    def change(index, item):
        item['joint_img'][:, :3, 2] = (0, 1, 2)

    persons = persons_of(cached.read(change, benchmark='UBodyDataset'))
    assert persons['keypoints_weight'][0, :3].tolist() == [0, 1, 1]
    assert persons['keypoints3d_visible'][0, :3].tolist() == [0, 1, 1]
    persons = persons_of(cached.read(change))
    assert persons['keypoints_weight'][0, :3].tolist() == [0, 1, 1]


def test_limit_of_neutral_shapes(cached):
    """It is for neutral shapes, not for those of a gendered model."""

    def change(index, item):
        item['smplx_param']['shape'][0, 0] = 5
        item['smplx_param']['betas_neutral'][-1, 0] = -5

    def valid(**kwargs):
        cache = cached.read(change, benchmark='EgoBodyDataset', **kwargs)
        return persons_of(cache)['smplx_betas_valid'].tolist()

    assert valid() == [1, 1]
    assert valid(use_betas_neutral=True) == [1, 0]


def test_cache_of_smpl(cached):
    """Its hands, faces and shapes are not those of SMPL-X."""
    cache = cached.read(lambda index, item: item.update(as_smplx='smpl'))
    persons = persons_of(cache)
    assert persons['smplx_pose_valid'][:, :22].all()
    assert not persons['smplx_pose_valid'][:, 22:].any()
    assert not persons['smplx_betas_valid'].any()


def test_absent_parts(cached):
    """None for joints, expressions and boxes; raw visibilities."""

    def change(index, item):
        item['joint_cam'] = item['smplx_param']['expr'] = None
        item['joint_img'][..., 2] = 2
        item['face_bbox'] = [None] * len(item['bbox'])

    persons = persons_of(cached.read(change, binary_confidence=True), 2)
    assert not persons['keypoints3d_visible'].any()
    assert not persons['smplx_expression_valid'].any()
    assert not persons['face_valid'].any()
    assert set(persons['keypoints_weight'].ravel()) == {1}


def test_absent_joints_stay_absent(cached):
    """Zeros, not the negated position of the pelvis."""

    def change(index, item):
        item['joint_cam'][0, 12] = 0

    points = persons_of(cached.read(change))['keypoints3d']
    assert not points[0, 12].any()
    assert points[1, 12].any()


def test_hand_without_labels(cached):
    def change(index, item):
        item['smplx_param']['lhand_valid'] = np.zeros(len(item['bbox']), bool)
        item['smplx_param']['lhand_pose'][:] = np.nan

    cache = cached.read(change)
    assert not cache.labels.info['dropped']
    assert np.isfinite(persons_of(cache)['smplx_pose']).all()


def test_image_without_persons(cached):
    def change(index, item):
        if index == 1:
            for name, value in item.items():
                if name in ('joint_img', 'joint_cam', 'gender'):
                    item[name] = value[:0]
                elif name.endswith('bbox'):
                    item[name] = []
            params = item['smplx_param']
            item['smplx_param'] = {k: v[:0] for k, v in params.items()}

    cache = cached.read(change)
    assert [info['img_id'] for info in infos(cache)] == [0, 2]


def test_broken_persons_are_dropped(cached):
    def change(index, item):
        item['joint_cam'][0, 5, 1] = np.nan if index == 2 else 0
        item['smplx_param']['shape'][-1] = np.inf if index == 0 else 0

    cache = cached.read(change)
    persons = [
        len(info['instances_arrays']['bboxes']) for info in infos(cache)
    ]
    assert persons == [1, 1, 2]
    rules = [drop['rule'] for drop in cache.labels.info['dropped']]
    assert rules == ['non_finite_keypoints3d', 'non_finite_body_model']


def infos(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda i, item: item.pop('bbox'), 'bbox'),
        (
            lambda i, item: item.update(joint_img=item['joint_img'][:, :5]),
            'image 0',
        ),
        (lambda i, item: item.update(img_path='/nowhere/x.png'), 'markers'),
        (
            lambda i, item: item.update(as_smplx='smpl' if i else 'smplx'),
            'as_smplx',
        ),
        (
            lambda i, item: item['joint_img'].__setitem__((0, 3, 2), 80),
            r'\[wrong_confidence\] joint_img',
        ),
        (
            lambda i, item: item.update(img_shape=(2**70, 5)),
            r'(?s)cache\.npz.*image_size',
        ),
        (
            lambda i, item: item['smplx_param'].update(
                flat_hand_mean=np.array([i == 1])
            ),
            'true and false',
        ),
    ],
)
def test_refused(cached, change, message):
    with pytest.raises(HumanDataError, match=message):
        AiOSCacheDataset(cached.write(change))


def test_cache_is_no_human_data(cached):
    """Who mixes them up is told what reads it."""
    with pytest.raises(HumanDataError, match='AiOSCacheDataset reads it'):
        HumanDataset(cached.write())


def test_wrong_count(tmp_path):
    np.savez(tmp_path / 'c.npz', data_len=np.array(3))
    with pytest.raises(HumanDataError, match='data_len'):
        AiOSCacheDataset(str(tmp_path / 'c.npz'))
    np.savez(tmp_path / 'd.npz', a=np.zeros(3), data_len=1)
    with pytest.raises(HumanDataError, match='not an AiOS cache'):
        AiOSCacheDataset(str(tmp_path / 'd.npz'))


@pytest.mark.parametrize(
    ('path', 'expected'),
    [
        ('/mnt/x/agora/3840x2160/a.png', '3840x2160/a.png'),
        ('D:\\data\\AGORA\\train_0\\a.png', 'train_0/a.png'),
        ('data/agora/coco_2017/train2017/1.jpg', 'train2017/1.jpg'),
        ('/d/UBody/images/Speech/v/1.png', 'Speech/v/1.png'),
        ('/my_agora_copy/a.png', None),
        ('train_0/a.png', 'train_0/a.png'),
    ],
)
def test_reroot(path, expected):
    assert reroot(path) == expected


def test_existing_path_stays(tmp_path):
    path = tmp_path / 'agora' / 'a.png'
    path.parent.mkdir()
    path.touch()
    assert reroot(str(path)) == str(path)


@pytest.mark.parametrize('flat', [True, False])
def test_hands_that_the_cache_calls_flat(cached, models, flat):
    """BEDLAM's items carry the flag of mmhuman3d's file, row by row."""

    def say(i, item):
        count = len(item['bbox'])
        item['smplx_param']['flat_hand_mean'] = np.full(count, flat)

    cache = cached.read(
        say,
        rooted='/their/train_images/',
        benchmark='BEDLAMDataset',
        body_model_path=models,
    )
    mean = np.reshape(read_hand_mean(models), (30, 3)) * flat
    for i in range(len(cache)):
        mine, theirs = (
            persons_of(d, i)['smplx_pose'][-1]
            for d in (cache, cached.reference)
        )
        np.testing.assert_allclose(
            mine[22:52], theirs[22:52] - mean, atol=1e-6
        )


@pytest.mark.parametrize('children', ['absent', 'everybody', 'some'])
def test_children_of_a_cache(cached, children, monkeypatch):
    """1 for everybody is what the original writes if it does not know."""
    said = []
    monkeypatch.setattr(
        'aios.datasets.aios_cache.print_log', lambda m, **_: said.append(m)
    )

    def change(i, item):
        item['occlusion'] = np.zeros(len(item['bbox']))
        if children == 'absent':
            del item['is_kid']
        elif children == 'some':
            item['is_kid'] = np.arange(len(item['bbox'])) == 0

    cache = cached.read(change, benchmark='AGORADataset')
    valid = persons_of(cache)['smplx_betas_valid']
    assert valid.tolist() == ([0, 1] if children == 'some' else [1, 1])
    assert len(said) == (children != 'some')
