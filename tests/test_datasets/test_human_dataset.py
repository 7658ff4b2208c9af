# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The dataset: which rows become which labels."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import ConcatDataset

from aios.body_models import SMPLXLayer
from aios.datasets import HumanData, HumanDataError, HumanDataset
from aios.datasets.image_sizes import add_image_sizes
from aios.registry import MODELS
from aios.structures import (
    HUMAN_DATA_190,
    SMPLX_137,
    SMPLX_ROTATIONS_53,
)

# -- images and rows --------------------------------------------------------


@pytest.mark.parametrize('compress', [False, True])
def test_one_item_per_image(toy, arrays, compress):
    files = toy(compress=compress)
    dataset = files.open()
    assert len(dataset) == 3
    info = dataset.get_data_info(2)
    assert info['img_path'] == str(files.root / 'images/000002.png')
    assert (info['height'], info['width']) == (240, 320)
    assert info['dataset_name'] == 'humandata'
    assert info['sample_idx'] == info['img_id'] == 2
    persons = info['instances_arrays']
    assert {len(value) for value in persons.values()} == {3}
    pose = arrays['smplx']['body_pose'][3:]
    np.testing.assert_array_equal(persons['smplx_pose'][:, 1:22], pose)
    np.testing.assert_allclose(
        info['cam_K'], [[300, 0, 160], [0, 300, 120], [0, 0, 1]]
    )


def test_workers_that_are_spawned_get_the_same(toy):
    """As on macOS and Windows, where a worker unpickles its dataset."""
    dataset = HumanDataset(
        toy().ann_file,
        data_prefix=dict(img=str(toy().root)),
        pipeline=[
            dict(type=f'aios.{name}')
            for name in (
                *('LoadImage', 'LoadHumanAnnotations', 'PackWholeBodyInputs'),
            )
        ],
    )
    ours, theirs = dataset[2], pickle.loads(pickle.dumps(dataset))[2]
    assert ours['inputs'].equal(theirs['inputs'])
    persons = (d['data_samples'].gt_instances for d in (ours, theirs))
    one, other = (dict(found.items()) for found in persons)
    assert all(value.equal(other[name]) for name, value in one.items())


def test_metainfo_of_a_config_in_python_syntax(toy):
    """Its classes are not imported yet, and their copies differ."""
    config = Config.fromfile('aios/configs/_base_/synthetic_small.py')
    loader = config.train_dataloader.dataset.datasets[0]
    files, options = toy(), dict(metainfo=loader.metainfo)
    dataset = files.open(**options)
    body_model = dataset.metainfo['body_model']
    name = f'{SMPLXLayer.__module__}.SMPLXLayer'  # as checkpoints have it
    assert body_model == dict(type=name, model_path='free')
    assert MODELS.get(name) is SMPLXLayer
    assert len(ConcatDataset([dataset])) == 3


def test_key_points_are_those_of_the_file(toy, arrays):
    persons = toy().labels()
    joint = SMPLX_137.index('left_wrist')
    source = arrays['keypoints2d_smplx'][0, 20]
    np.testing.assert_array_equal(persons['keypoints'][0, joint], source[:2])
    points = arrays['keypoints3d_smplx'][0, :, :3]
    np.testing.assert_allclose(
        persons['keypoints3d'][0, joint], points[20] - points[0], atol=1e-6
    )
    assert persons['keypoints3d'][:, 0].any() == 0
    # The eyeballs are where the model has them: left first.
    eyes = arrays['keypoints2d_smplx'][0, [57, 56], :2]
    np.testing.assert_array_equal(persons['keypoints'][0, [67, 68]], eyes)
    swapped = toy().labels(legacy_eye_swap=True)
    np.testing.assert_array_equal(swapped['keypoints'][0, [68, 67]], eyes)


def test_scattered_rows_are_grouped(toy, arrays):
    paths = arrays['image_path']
    arrays['image_path'] = [paths[i] for i in (0, 3, 2, 3, 0, 3)]
    files = toy()
    dataset = files.open()
    counts = [
        len(dataset.get_data_info(i)['instances_arrays']['labels'])
        for i in range(len(dataset))
    ]
    assert counts == [2, 3, 1]
    single = files.open(group_by_image=False)
    assert len(single) == 6


def test_interval_is_over_images_and_for_training_only(toy):
    files = toy()
    kwargs = {'data_root': str(files.root), 'sample_interval': 2}
    train = HumanDataset(files.ann_file, **kwargs)
    assert [train.get_data_info(i)['img_id'] for i in range(2)] == [0, 2]
    assert len(train) == 2
    assert len(HumanDataset(files.ann_file, test_mode=True, **kwargs)) == 3


def test_image_sizes_are_read_from_the_images(toy, arrays):
    """As for files of mmhuman3d's converters, which have no meta.height."""
    del arrays['meta']['height']
    files = toy()
    dataset = files.open()
    info = dataset.get_data_info(0)
    assert (info['height'], info['width']) == (240, 320)
    dataset = files.open(image_size=(480, 640))
    assert dataset.get_data_info(0)['width'] == 640


def test_image_sizes_are_those_of_the_folder(toy, arrays, tmp_path):
    """Labels that were unpacked with other images are not used."""
    del arrays['meta']['height']
    files, small = toy(), tmp_path / 'small'
    (small / 'images').mkdir(parents=True)
    for number in range(3):
        image = np.zeros((120, 160, 3), np.uint8)
        cv2.imwrite(str(small / f'images/{number:06d}.png'), image)
    for folder, height in ((files.root, 240), (small, 120), (files.root, 240)):
        dataset = files.open(data_prefix={'img': str(folder)})
        assert dataset.get_data_info(0)['height'] == height


@pytest.mark.parametrize('content', [None, b'GIF89a', b'no image'])
def test_images_without_a_size_are_named(toy, arrays, content):
    del arrays['meta']['width']
    files = toy()
    image = files.root / 'images/000002.png'
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    with pytest.raises(
        HumanDataError, match=r'row 3: .*000002\.png.*image_size'
    ):
        files.open()


def test_images_in_another_folder_are_not_all_looked_for(tmp_path):
    data = HumanData({'image_path': [f'{i // 2}.jpg' for i in range(99)]})
    with pytest.raises(HumanDataError) as caught:
        add_image_sizes(data, tmp_path)
    rows = [fault.row for fault in caught.value.faults]
    assert rows == [*range(0, 40, 2)]


def test_missing_images_need_no_size_where_they_are_dropped(toy, arrays):
    del arrays['meta']['width']
    files = toy()
    (files.root / 'images/000001.png').unlink()
    dataset = files.open(filter_cfg=dict(missing_images='drop'))
    assert len(dataset) == 2


def test_images_that_arrive_later_get_their_size(toy, arrays):
    del arrays['meta']['height'], arrays['meta']['width']
    files = toy()
    late = files.root / 'images/000001.png'
    content = late.read_bytes()
    late.unlink()
    options = {'filter_cfg': {'missing_images': 'drop'}}
    assert len(files.open(**options)) == 2
    late.write_bytes(content)
    for dataset in files.open(**options), files.open():
        sizes = [dataset.get_data_info(i)['height'] for i in range(3)]
        assert sizes == [240, 240, 240]


def test_parts_that_never_supervise_are_told(toy, arrays, monkeypatch):
    del arrays['lhand_bbox_xywh']
    arrays['face_bbox_xywh'][:, 4] = 0
    arrays['smplx']['left_hand_pose'][:2] = 0
    lines = []
    monkeypatch.setattr(
        'aios.datasets.human_dataset.print_log',
        lambda message, **kwargs: lines.append(message),
    )
    toy().open()
    text = '\n'.join(lines)
    assert '4 persons have parameters of the left hand' in text
    assert '6 persons have parameters of the face' in text
    assert 'the right hand' not in text


@pytest.mark.parametrize(
    ('name', 'value'), [('focal_length', 0), ('principal_point', np.nan)]
)
def test_images_without_a_camera(toy, arrays, name, value):
    """Persons have different ones, or it is unknown."""
    arrays['meta']['focal_length'][1] = 77
    arrays['meta'][name][2] = value
    dataset = toy().open()
    infos = [dataset.get_data_info(i) for i in range(3)]
    assert ['cam_K' in info for info in infos] == [False, False, True]


# -- validity -----------------------------------------------------------------


def test_everything_supervises_in_a_complete_file(toy):
    persons = toy().labels()
    for name, value in persons.items():
        if name.endswith('valid') or name == 'has_3d':
            assert (value == 1).all(), name
    assert persons['gender'].tolist() == [-1, 0]
    assert persons['labels'].tolist() == [1, 1]


def test_person_without_a_fit_trains_only_the_detector(toy, arrays):
    arrays['meta']['smplx_valid'] = [0, 1, 1, 1, 1, 1]
    persons = toy().labels()
    for name in ('smplx_pose', 'smplx_betas', 'smplx_expression'):
        assert not persons[f'{name}_valid'][0].any()
        assert not persons[name][0].any()
        assert persons[f'{name}_valid'][1].all()
    assert persons['lhand_valid'].tolist() == [0, 1]
    assert persons['keypoints_visible'][0].all()
    assert persons['keypoints_weight'][0].all()
    masked = toy().labels(parts_mask_keypoints=True)
    assert not masked['keypoints_weight'][0].any()
    assert not masked['keypoints3d_visible'][0].any()
    assert masked['keypoints_visible'][0].all()


PARTS = [
    ('lhand', 'left_hand'),
    ('rhand', 'right_hand'),
    ('face', 'face'),
]


@pytest.mark.parametrize(('part', 'group'), PARTS)
def test_missing_part(toy, arrays, part, group):
    arrays[f'{part}_bbox_xywh'][0, 4] = 0
    persons = toy().labels(parts_mask_keypoints=True)
    rotations = list(SMPLX_ROTATIONS_53.groups[group])
    others = np.setdiff1d(np.arange(53), rotations)
    assert persons[f'{part}_valid'].tolist() == [0, 1]
    assert not persons['smplx_pose_valid'][0, rotations].any()
    assert not persons['smplx_pose'][0, rotations].any()
    assert persons['smplx_pose_valid'][0, others].all()
    joints = list(SMPLX_137.groups[group])
    assert not persons['keypoints_weight'][0, joints].any()
    assert persons['keypoints_visible'][0, joints].all()
    assert persons['smplx_expression_valid'][0] == (part != 'face')


@pytest.mark.parametrize('field', ['left_hand_pose', 'expression'])
def test_missing_parameters(toy, arrays, field):
    del arrays['smplx'][field]
    persons = toy().labels()
    part = 'lhand' if field == 'left_hand_pose' else 'face'
    assert not persons[f'{part}_valid'].any()
    assert persons['rhand_valid'].all()
    assert persons['smplx_expression_valid'].all() == (part != 'face')


def test_missing_part_boxes_mean_missing_parts(toy, arrays):
    del arrays['rhand_bbox_xywh']
    persons = toy().labels()
    assert not persons['rhand_valid'].any()
    assert persons['lhand_valid'].all()


def test_flags_of_the_file_can_decide(toy, arrays):
    arrays['lhand_bbox_xywh'][0, 4] = 0
    arrays['meta']['righthand_valid'] = [0, 1, 1, 1, 1, 1]
    persons = toy().labels(part_valid_source='meta')
    # The left hand's box is missing, its rotations are not.
    assert persons['lhand_valid'].tolist() == [0, 1]
    rotation = SMPLX_ROTATIONS_53.index('left_index_1')
    assert persons['smplx_pose_valid'][0, rotation] == 1
    assert persons['rhand_valid'].tolist() == [0, 1]


def test_smpl_supervises_no_hands_no_face_and_no_shape(toy, arrays):
    pose = np.ones((6, 69), np.float32)
    arrays['smpl'] = {
        'global_orient': np.ones((6, 3), np.float32),
        'body_pose': pose,
        'betas': np.ones((6, 10), np.float32),
    }
    del arrays['smplx']
    persons = toy().labels(parts_mask_keypoints=True)
    valid = persons['smplx_pose_valid']
    assert valid[:, :22].all()  # also both wrists
    assert not valid[:, 22:].any()
    assert not persons['smplx_betas_valid'].any()
    assert not persons['smplx_betas'].any()
    assert persons['keypoints_weight'][:, :25].all()
    assert not persons['keypoints_weight'][:, 25:].any()


def test_no_body_model_and_no_3d(toy, arrays):
    for key in [k for k in arrays if k.startswith(('smplx', 'keypoints3d'))]:
        del arrays[key]
    persons = toy().labels()
    assert not persons['smplx_pose_valid'].any()
    assert not persons['has_3d'].any()
    assert persons['keypoints3d'].shape == (2, 137, 3)
    assert persons['keypoints_visible'].all()


def test_3d_can_be_switched_off(toy):
    persons = toy().labels(has_3d=False)
    assert not persons['has_3d'].any()
    assert not persons['keypoints3d_visible'].any()


# -- odd files ----------------------------------------------------------------


def test_flat_arrays_extra_coefficients_and_unknown_keys(toy, arrays):
    smplx = arrays['smplx']
    expected = toy().labels()
    smplx['body_pose'] = smplx['body_pose'].reshape(6, 63)
    smplx['left_hand_pose'] = smplx['left_hand_pose'].reshape(6, 45)
    smplx['betas'] = np.hstack((smplx['betas'], np.ones((6, 1), np.float32)))
    smplx['flat_hand_mean'] = [False]
    arrays['keypoints2d_extra'] = np.zeros((6, 3))
    del arrays['keypoints2d_smplx_mask'], arrays['keypoints3d_smplx_mask']
    persons = toy(name='odd.npz').labels()
    for name, value in expected.items():
        np.testing.assert_array_equal(persons[name], value, err_msg=name)


def test_key_point_choice(toy, arrays):
    other = arrays['keypoints2d_smplx'] * 0.5
    arrays['keypoints2d_original'] = other
    chosen = toy().labels()['keypoints']
    np.testing.assert_array_equal(
        chosen[0, 0], arrays['keypoints2d_smplx'][0, 0, :2]
    )
    chosen = toy().labels(kps2d_key='keypoints2d_original')['keypoints']
    np.testing.assert_array_equal(chosen[0, 0], other[0, 0, :2])
    with pytest.raises(HumanDataError, match='keypoints2d_gta'):
        toy().labels(kps2d_key='keypoints2d_gta')


@pytest.mark.parametrize('key', ['bbox_xywh', 'image_path'])
def test_missing_key(toy, arrays, key):
    files = toy()
    del arrays[key]
    HumanData(arrays).dump(files.ann_file, overwrite=True)
    with pytest.raises(HumanDataError, match=f'missing_key.*{key}') as caught:
        files.open()
    assert files.ann_file in str(caught.value)


def test_missing_key_points(toy, arrays):
    del arrays['keypoints2d_smplx']
    with pytest.raises(HumanDataError, match='keypoints2d_smplx'):
        toy().labels()


def test_neutral_shape(toy, arrays):
    neutral = np.zeros((6, 11), np.float32)
    neutral[1] = 5
    arrays['smplx']['betas_neutral'] = neutral
    kwargs = {'use_betas_neutral': True, 'max_neutral_beta': 3.0}
    persons = toy().labels(**kwargs)
    assert not persons['smplx_betas'].any()
    assert persons['smplx_betas_valid'].tolist() == [1, 0]
    assert persons['gender'].tolist() == [-1, -1]
    for other in (
        toy().labels(test_mode=True, **kwargs),
        toy().labels(),
    ):
        np.testing.assert_array_equal(
            other['smplx_betas'], arrays['smplx']['betas'][:2]
        )
        assert other['gender'].tolist() == [-1, 0]


def test_flat_hands_become_relative(toy, arrays, free_body_dir):
    from aios.body_models import find_body_model, load_body_model_arrays

    body = load_body_model_arrays(find_body_model(free_body_dir, 'neutral'))
    relative = toy().labels()['smplx_pose']
    arrays['smplx']['left_hand_pose'] = arrays['smplx'][
        'left_hand_pose'
    ] + body['hands_meanl'].reshape(15, 3).astype(np.float32)
    arrays['smplx']['right_hand_pose'] = arrays['smplx'][
        'right_hand_pose'
    ] + body['hands_meanr'].reshape(15, 3).astype(np.float32)
    del arrays['misc']['flat_hand_mean']
    kwargs = {'body_model_path': str(free_body_dir)}
    forced = toy().labels(flat_hand_mean=True, **kwargs)
    np.testing.assert_allclose(forced['smplx_pose'], relative, atol=1e-6)
    arrays['smplx']['flat_hand_mean'] = [True] * 6
    read = toy().labels(**kwargs)
    np.testing.assert_allclose(read['smplx_pose'], relative, atol=1e-6)
    arrays['misc']['flat_hand_mean'] = False
    with pytest.raises(HumanDataError, match='both true and false'):
        toy().labels()


def test_no_person_is_a_child_unless_the_file_says_so(toy, arrays):
    """Without ``is_kid`` and ``occ`` everybody supervises."""
    rules = {'kids_shape_supervises': False, 'max_occlusion': 97}
    assert toy().labels(**rules)['smplx_betas_valid'].all()
    arrays['meta']['is_kid'] = [1, 0, 0, 0, 0, 0]
    arrays['meta']['occ'] = [0, 97, 0, 0, 0, 0]
    persons = toy().labels(**rules)
    assert persons['smplx_betas_valid'].tolist() == [0, 0]
    assert persons['smplx_pose_valid'].any(axis=1).tolist() == [True, False]
    assert persons['keypoints_weight'].any(axis=1).tolist() == [True, False]
    assert persons['bboxes'].any(axis=1).all()


def test_3d_joints_without_a_pelvis_do_not_supervise(toy, arrays):
    """Labels are relative to it; here the first person has none."""
    for name in ('pelvis', 'pelvis_extra', 'pelvis_openpose'):
        arrays['keypoints3d_smplx'][0, HUMAN_DATA_190.index(name)] = 0
    for follow in (False, True):
        persons = toy().labels(keypoints3d_follow_2d=follow)
        visible = persons['keypoints3d_visible']
        assert visible.any(axis=1).tolist() == [False, True]
        assert persons['keypoints_visible'].all()


def test_3d_joints_can_follow_2d_ones(toy, arrays):
    arrays['keypoints2d_smplx'][0, 20, 2] = 0
    joint = SMPLX_137.index('left_wrist')
    assert toy().labels()['keypoints3d_visible'][0, joint] == 1
    persons = toy().labels(keypoints3d_follow_2d=True)
    assert persons['keypoints3d_visible'][0, joint] == 0
    assert persons['keypoints3d_visible'][1, joint] == 1
