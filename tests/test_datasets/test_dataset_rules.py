# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rules of single datasets, on files that have what the rules are about."""

from __future__ import annotations

import numpy as np
import pytest

from aios.datasets import (
    ARCTICDataset,
    BEDLAMDataset,
    COCONADataset,
    EgoBodyDataset,
    HumanDataError,
    HumanDataset,
    UBodyDataset,
)
from aios.datasets.finite import find_non_finite
from aios.structures import SMPLX_137, SMPLX_ROTATIONS_53

# -- UBody --------------------------------------------------------------------


@pytest.fixture
def ubody(arrays):
    """The toy file as UBody: two videos, flags, four columns."""
    videos = ['Speech/talk_Trim1', 'Speech/quiz_Trim7', 'Speech/talk_Trim2']
    names = [arrays['image_path'][row] for row in range(6)]
    number = [int(name[-5]) for name in names]
    arrays['image_path'] = [f'{videos[i]}/{i:06d}.png' for i in number]
    points = arrays['keypoints2d_smplx']
    seen = np.zeros((6, 190, 1), np.float32)
    seen[:, :144] = 0.7
    arrays['keypoints2d_ubody'] = np.concatenate(
        (points[..., :2], seen, np.ones_like(seen)), axis=-1
    )
    arrays['keypoints2d_ubody_mask'] = np.ones(190, np.uint8)
    meta = arrays['meta']
    meta['gender'] = meta['gender'][:6]
    meta['iscrowd'] = np.zeros(6, int)
    meta['num_keypoints'] = np.full(6, 17)
    meta['valid_label'] = np.full(6, 2)
    for part in ('lefthand', 'righthand', 'face'):
        meta[f'{part}_valid'] = np.ones(6, int)
    return arrays


def write(toy, arrays):
    """Write file and images, whatever their folders."""
    root = toy({**arrays, 'image_path': ['a.png'] * 6}).root
    for name in set(arrays['image_path']):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((root / 'a.png').read_bytes())
    return toy(arrays)


def test_ubody_confidence_is_the_third_column(toy, ubody):
    ubody['keypoints2d_ubody'][0, 20, 2] = 0
    ubody['meta']['righthand_valid'][1] = 0
    ubody['lhand_bbox_xywh'][1, 4] = 0
    labels = write(toy, ubody).labels(UBodyDataset)
    wrist = SMPLX_137.index('left_wrist')
    assert labels['keypoints_weight'][:, wrist].tolist() == [0, 1]
    # 3-D joints count where their 2-D ones do.
    assert labels['keypoints3d_visible'][:, wrist].tolist() == [0, 1]
    # The file's flags say which parts are annotated; joints of others rest.
    assert labels['rhand_valid'].tolist() == [1, 0]
    pose = labels['smplx_pose_valid']
    left, right = (
        SMPLX_ROTATIONS_53.index(f'{s}_index_1') for s in ('left', 'right')
    )
    assert pose[1, [left, right]].tolist() == [1, 0]
    hand = list(SMPLX_137.groups['right_hand'])
    assert labels['keypoints_weight'][0, hand].all()
    assert not labels['keypoints_weight'][1, hand].any()
    assert labels['keypoints_visible'][1, hand].all()
    # Boxes of parts are enlarged by a fifth.
    x, y, w, h = ubody['rhand_bbox_xywh'][0, :4]
    expected = [x - 0.1 * w, y - 0.1 * h, x + 1.1 * w, y + 1.1 * h]
    np.testing.assert_allclose(labels['rhand_bboxes'][0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ('rule', 'change'),
    [
        ('crowd', lambda a: a['meta']['iscrowd'].__setitem__(0, 1)),
        (
            'no_keypoints',
            lambda a: a['meta']['num_keypoints'].__setitem__(0, 0),
        ),
        (
            'invalid_label',
            lambda a: a['meta']['valid_label'].__setitem__(0, 0),
        ),
        (
            'no_confidence',
            lambda a: a['keypoints2d_ubody'][0, :, 2].__imul__(0),
        ),
        (
            'duplicate',
            lambda a: a['bbox_xywh'].__setitem__(1, a['bbox_xywh'][0]),
        ),
    ],
)
def test_ubody_leaves_out(toy, ubody, rule, change):
    files = write(toy, ubody)
    assert len(files.labels(UBodyDataset)['labels']) == 2
    change(ubody)
    dataset = UBodyDataset(write(toy, ubody).ann_file, str(files.root))
    (dropped,) = dataset.labels.info['dropped']
    assert (dropped['rule'], dropped['persons']) == (rule, 1)


def test_ubody_split_of_a_file_that_has_both(toy, ubody):
    """Training leaves the listed videos out, tests keep only them."""
    files = write(toy, ubody)
    np.save(files.root / 'list.npy', np.array(['quiz']))

    def images(**kwargs):
        dataset = UBodyDataset(
            files.ann_file,
            str(files.root),
            sample_interval=1,
            test_videos='list.npy',
            **kwargs,
        )
        return [
            d['img_id']
            for d in map(dataset.get_data_info, range(len(dataset)))
        ]

    assert images() == [0, 2]
    assert images(test_mode=True) == [1]
    with pytest.raises(FileNotFoundError, match=r'absent\.npy'):
        UBodyDataset(files.ann_file, str(files.root), test_videos='absent.npy')


# -- others -------------------------------------------------------------------


def test_coco_takes_annotated_joints_and_no_3d(toy, arrays):
    arrays['keypoints2d_ori'] = arrays['keypoints2d_smplx'] * 0.5
    arrays['keypoints2d_ori'][..., 2] = 1
    arrays['keypoints2d_ori_mask'] = np.ones(190, np.uint8)
    arrays['meta']['smplx_valid'] = [0, 1, 1, 1, 1, 1]
    labels = toy().labels(COCONADataset)
    np.testing.assert_array_equal(
        labels['keypoints'][:, 0], arrays['keypoints2d_ori'][:2, 0, :2]
    )
    assert not labels['has_3d'].any()
    assert labels['keypoints_weight'].any(axis=1).tolist() == [False, True]
    assert labels['keypoints_visible'].all()


def test_images_with_nothing_but_crowds(toy, arrays):
    """Predictions beside the crowd are wrong there, as in COCO."""
    arrays['meta']['iscrowd'] = [0, 1, 1, 0, 0, 0]
    options = dict(drop_rules=('crowd',), ignore_crowds=True)
    files = toy()
    dataset = files.open(test_mode=True, **options)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['img_path'][-5] for info in infos] == ['0', '1', '2']
    persons = [len(info['instances_arrays']['labels']) for info in infos]
    assert persons == [1, 0, 3]
    assert [len(info['ignored_bboxes']) for info in infos] == [1, 1, 0]
    assert ['cam_K' in info for info in infos] == [True, False, True]
    assert len(files.open(**options)) == 2
    options['filter_cfg'] = {'min_persons': 0}
    assert len(files.open(**options)) == 3


def test_zero_expressions_of_bedlam_supervise_as_published(toy, arrays):
    arrays['smplx']['expression'][:] = 0
    files = toy()
    assert files.labels(BEDLAMDataset)['smplx_expression_valid'].all()
    off = files.labels(BEDLAMDataset, expression_supervises=False)
    assert not off['smplx_expression_valid'].any()


@pytest.mark.parametrize(
    ('kind', 'interval'),
    [
        (BEDLAMDataset, 5),
        (UBodyDataset, 5),
        (EgoBodyDataset, 5),
        (ARCTICDataset, 1000),
        (COCONADataset, 1),
    ],
)
def test_images_of_videos_are_sampled(kind, interval):
    assert kind.with_defaults({}).get('sample_interval', 1) == interval
    assert 'sample_interval' not in kind.with_defaults({'test_mode': True})


# -- all files ----------------------------------------------------------------


def test_confidence_counts_once(toy, arrays):
    """It is a weight, not squared, in 2-D and in 3-D."""
    arrays['keypoints2d_smplx'][0, 20, 2] = 0.5
    arrays['keypoints3d_smplx'][0, 20, 3] = 0.25
    labels = toy().labels()
    wrist = SMPLX_137.index('left_wrist')
    assert labels['keypoints_weight'][0, wrist] == 0.5
    assert labels['keypoints_visible'][0, wrist] == 0.5
    assert labels['keypoints3d_visible'][0, wrist] == 0.25


@pytest.mark.parametrize(
    ('first', 'second', 'label'),
    [
        ('keypoints2d_ori', 'keypoints2d_smplx', 'keypoints'),
        ('keypoints2d_smplx', 'keypoints2d_original', 'keypoints'),
        ('keypoints2d_original', 'keypoints2d', 'keypoints'),
        ('keypoints3d_cam', 'keypoints3d_smplx', 'keypoints3d'),
        ('keypoints3d_cam', 'keypoints3d', 'keypoints3d'),
        ('keypoints3d', 'keypoints3d_smplx', 'keypoints3d'),
        ('keypoints3d_smplx', 'keypoints3d_original', 'keypoints3d'),
    ],
)
def test_preferred_key_points(toy, arrays, first, second, label):
    name = f'{first[:11]}_smplx'
    own = arrays.pop(name)
    del arrays[f'{name}_mask']
    arrays[second] = own * 0.25
    arrays[first] = own
    labels = toy().labels()
    got = labels[label][0, SMPLX_137.index('left_wrist')]
    wrist = own[0, 20, : len(got)]
    root = own[0, 0, :3] if label == 'keypoints3d' else 0
    np.testing.assert_allclose(got, wrist - root, rtol=1e-5)


def test_smplh_supervises_hands_but_no_face(toy, arrays):
    arrays['smplh'] = arrays.pop('smplx')
    labels = toy().labels()
    valid = labels['smplx_pose_valid']
    for group, expected in (('left_hand', 1), ('right_hand', 1), ('face', 0)):
        assert (valid[:, SMPLX_ROTATIONS_53.groups[group]] == expected).all()
    assert not labels['smplx_betas_valid'].any()
    assert not labels['smplx_expression_valid'].any()


def test_expressions_that_the_file_rejects(toy, arrays):
    arrays['smplx']['expr_valid'] = np.array([0, 1, 1, 1, 1, 1])
    labels = toy().labels()
    assert labels['smplx_expression_valid'].tolist() == [0, 1]
    assert labels['face_valid'].tolist() == [1, 1]


def test_one_camera_for_all(toy, arrays):
    """``misc`` has it where ``meta`` does not."""
    del arrays['meta']['focal_length'], arrays['meta']['principal_point']
    arrays['misc'] |= {'focal_length': (700, 710), 'principal_point': (9, 8)}
    info = toy().open().get_data_info(1)
    expected = [[700, 0, 9], [0, 710, 8], [0, 0, 1]]
    np.testing.assert_array_equal(info['cam_K'], expected)


def test_images_named_on_windows(toy, arrays):
    expected = toy()
    arrays['image_path'] = [p.replace('/', '\\') for p in arrays['image_path']]
    np.savez(expected.root / 'windows.npz', **arrays)
    dataset = HumanDataset(
        str(expected.root / 'windows.npz'), str(expected.root)
    )
    path = dataset.get_data_info(0)['img_path']
    assert path == str(expected.root / 'images/000000.png')


def test_duplicates_of_persons_that_are_left_out(toy, ubody):
    """One of two persons with the same box stays."""
    ubody['meta']['valid_label'][0] = 0
    ubody['bbox_xywh'][1] = ubody['bbox_xywh'][0]
    labels = write(toy, ubody).labels(UBodyDataset)
    x, y, w, h = ubody['bbox_xywh'][1, :4]
    np.testing.assert_allclose(
        labels['bboxes'], [[x, y, x + w, y + h]], rtol=1e-5
    )


def test_confidences_of_other_programs(toy, arrays):
    """Visibilities of COCO and scores of heat maps."""
    for key in ('keypoints2d_smplx', 'keypoints3d_smplx'):
        arrays[key][0, :6, -1] = 2, 1, 1.07, 1, 0.5, -0.01
    names = ('pelvis', 'left_hip', 'right_hip', 'left_knee', 'right_knee')
    chosen = list(SMPLX_137.indices(names))
    with pytest.warns(UserWarning, match='are read as 0 and 1'):
        labels = toy().labels()
    for name in ('keypoints_weight', 'keypoints3d_visible'):
        assert labels[name][0, chosen].tolist() == [1, 1, 1, 0.5, 0]


@pytest.mark.parametrize('key', ['keypoints2d_smplx', 'keypoints3d_smplx'])
def test_percentages_are_no_confidences(toy, arrays, key):
    arrays[key][3:5, 20, -1] = 87
    message = rf'wrong_confidence\] {key}, row 3 and 1 more.*got 87'
    with pytest.raises(HumanDataError, match=message):
        toy().labels()


def test_joints_without_confidence(toy, arrays):
    """They may be NaN; in 3-D they are zeros, not the negated pelvis."""
    for key in ('keypoints2d_smplx', 'keypoints3d_smplx'):
        arrays[key][0, 20] = np.nan
        arrays[key][0, 20, -1] = 0
    arrays['keypoints3d_smplx'][1, 20, 3] = 0
    dataset = toy().open()
    assert not dataset.labels.info['dropped']
    labels = dataset.get_data_info(0)['instances_arrays']
    wrist = SMPLX_137.index('left_wrist')
    assert not labels['keypoints'][0, wrist].any()
    assert not labels['keypoints3d'][:, wrist].any()
    assert not labels['keypoints3d_visible'][:, wrist].any()


def test_parameters_without_labels(toy, arrays):
    """They may be NaN: a failed fit, a person without a left hand."""
    arrays['meta']['smplx_valid'] = [0, 1, 1, 1, 1, 1]
    for name in ('global_orient', 'betas', 'transl', 'expression'):
        arrays['smplx'][name][0] = np.nan
    arrays['lhand_bbox_xywh'][1, 4] = arrays['face_bbox_xywh'][1, 4] = 0
    for name in ('left_hand_pose', 'jaw_pose', 'expression'):
        arrays['smplx'][name][1] = np.nan
    assert not find_non_finite(arrays)
    dataset = toy().open()
    assert not dataset.labels.info['dropped']
    labels = dataset.get_data_info(0)['instances_arrays']
    assert all(np.isfinite(value).all() for value in labels.values())
    assert labels['smplx_betas_valid'].tolist() == [0, 1]
    arrays['lhand_bbox_xywh'][1, 4] = 1
    (fault,) = find_non_finite(arrays)
    assert (fault.field, fault.row) == ('smplx.left_hand_pose', 1)
    assert len(toy().labels()['labels']) == 1


def test_smpl_that_the_file_lacks(toy):
    with pytest.raises(HumanDataError, match='read_smpl needs 3 numbers'):
        toy().open(read_smpl=True)
