# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is odd about the official releases, one fact a test."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
import toy_releases as releases
from script_loader import load_script
from toy_synthetic import SCENES

from aios.datasets import COCONADataset, HumanData, UBodyDataset
from aios.datasets.converters import (
    AGORAConverter,
    ConverterError,
    convert,
)
from aios.structures import HUMAN_DATA_190, SMPLX_137, SMPLX_144

TOOL = 'tools/dataset_converters/rotate_bedlam_closeups.py'


# -- BEDLAM -------------------------------------------------------------------


def test_bedlam_closeups(converted):
    """Turned images lie in folders whose names have no closeup.

    The cameras of the labels say which: of one close-up they are lying.
    """
    _, _, out, summary = converted('bedlam')
    data = HumanData.load(out)
    assert summary.missing == 0
    scenes = [path.split('/')[0] for path in data['image_path'][::3]]
    assert scenes == [
        '20221010_3_1000_batch01hand_6fps',
        '20221011_1_250_batch01hand_suburb_a_6fps',
        '20221017_1_250_batch01hand_closeup_suburb_a_6fps',
    ]
    sizes = np.stack((data['meta']['height'], data['meta']['width']), 1)
    assert sizes[::3].tolist() == [[720, 1280], [1280, 720], [720, 1280]]


def test_bedlam_closeups_are_turned(release, capsys):
    root, run = release('bedlam')
    upright = root / f'train_images/{SCENES[1][0].replace("_closeup", "")}'
    wanted = {p.name: cv2.imread(str(p)) for p in upright.rglob('*.png')}
    for path in upright.rglob('*.png'):
        lying = cv2.rotate(wanted[path.name], cv2.ROTATE_90_COUNTERCLOCKWISE)
        target = root / 'train_images' / SCENES[1][0]
        cv2.imwrite(str(target / path.relative_to(upright)), lying)
    shutil.rmtree(upright)

    tool = load_script(TOOL)
    tool.main([str(root / 'train_images')])

    turned = sorted(upright.rglob('*.png'))
    assert [path.name for path in turned] == sorted(wanted)
    for path in turned:
        np.testing.assert_array_equal(cv2.imread(str(path)), wanted[path.name])
    said = capsys.readouterr().out
    assert (
        f'{SCENES[2][0]}: not rotated, labels refer to the stored images'
        in said
    )
    assert 'rotated 2 images, 0 existed already' in said
    assert run()[1].missing == 0
    tool.main([str(root / 'train_images')])
    assert 'rotated 0 images, 2 existed' in capsys.readouterr().out


def test_bedlam_closeups_need_labels(release):
    root, _ = release('bedlam')
    (root / f'all_npz_12_training/{SCENES[2][0]}.npz').unlink()
    with pytest.raises(SystemExit, match=f'{SCENES[2][0]}.npz does not exist'):
        load_script(TOOL).main([str(root / 'train_images')])


def test_bedlam_labels_of_agora(converted):
    """They lie in the same folder and are about other images."""
    summary = converted('bedlam')[3]
    assert summary.counts["file of AGORA's labels, skipped"] == 2
    assert "file of AGORA's labels, skipped" in str(summary)


def test_bedlam_boxes(converted):
    """The face box is around mmhuman3d's head, ears and jaw with it."""
    data = HumanData.load(converted('bedlam')[2])
    head = ['head', 'jaw', 'left_eyeball', 'right_eyeball', 'nose']
    head += ['right_eye', 'left_eye', 'right_ear', 'left_ear']
    joints = [*SMPLX_144.indices(head), *range(76, 144)]
    assert_boxes(data, 'face_bbox_xywh', joints, 1.0)
    hand = list(SMPLX_144.groups['left_hand'])
    assert_boxes(data, 'lhand_bbox_xywh', hand, 1.0)
    assert_boxes(data, 'bbox_xywh', range(144), 1.2)
    assert data['misc']['bbox_body_scale'] == 1.2


def assert_boxes(data, key, joints, scale):
    """Boxes are those of the joints, enlarged and cut."""
    points = data['keypoints2d_smplx'][:, list(joints), :2]
    low, high = points.min(1), points.max(1)
    middle, half = (low + high) / 2, (high - low) / 2 * scale
    limit = np.stack((data['meta']['width'], data['meta']['height']), 1)
    low = np.clip(middle - half, 0, limit)
    high = np.clip(middle + half, 0, limit)
    boxes = data[key]
    np.testing.assert_allclose(boxes[:, :2], low, atol=0.05)
    np.testing.assert_allclose(boxes[:, 2:4], high - low, atol=0.05)


# -- COCO ---------------------------------------------------------------------


def test_coco_scores_of_hands_and_faces(converted):
    """Above 0 is labeled: hands have fractions of 1, faces 1 to 2."""
    root, _, out, _ = converted('coco')
    labels = json.loads(
        (root / 'annotations/coco_wholebody_train_v1.0.json').read_text()
    )
    hand = labels['annotations'][1]['righthand_kpts'][2::3]
    assert 0 < max(hand) < 1
    data = HumanData.load(out)
    points = data.joints('keypoints2d_ori', SMPLX_137)
    right = points[:, list(SMPLX_137.groups['right_hand'])]
    assert (right[..., 2] == 1).all()
    face = points[:, range(69, 120)]
    assert (face[..., 2] == 1).all()


def test_coco_hidden_joints(converted):
    """1 is labeled but hidden, 0 is not labeled."""
    data = HumanData.load(converted('coco')[2])
    (row,) = np.flatnonzero(data['lhand_bbox_xywh'][:, 4] == 0)
    nose, eye = (HUMAN_DATA_190.index(n) for n in ('nose', 'left_eye'))
    assert data['keypoints2d_ori'][row, [nose, eye], 2].tolist() == [1, 0]
    hand = list(HUMAN_DATA_190.groups['left_hand'])
    assert not data['keypoints2d_ori'][row, hand].any()


@pytest.mark.parametrize('both', [False, True])
def test_coco_names_of_fits(release, both):
    """NeuralAnnot's file has a new name; the old one is read, too."""
    root, run = release('coco')
    new = root / 'annotations/MSCOCO_train_SMPLX_all_NeuralAnnot.json'
    old = new.with_name('MSCOCO_train_SMPLX.json')
    if both:
        old.write_text('{}')
    else:
        new.rename(old)
    data, _ = run()
    assert data['meta']['smplx_valid'].sum() == 3
    if not both:
        old.unlink()
        with pytest.raises(ConverterError) as error:
            run()
        assert str(new) in str(error.value)
        assert str(old) in str(error.value)


@pytest.mark.parametrize(
    ('name', 'file'),
    [
        ('coco', 'annotations/coco_wholebody_train_v1.0.json'),
        ('ubody', 'annotations/Speech/keypoint_annotation.json'),
    ],
)
def test_boxes_as_annotated(converted, models, tmp_path, name, file):
    """Boxes of COCO and UBody are the annotated ones; bodies stay so."""
    root, _, out, _ = converted(name)
    persons = json.loads((root / file).read_text())['annotations']
    data = HumanData.load(out)
    assert data['misc']['bbox_body_scale'] == 1.0
    height, width = data['meta']['height'][0], data['meta']['width'][0]
    for key, source in (
        ('bbox_xywh', 'bbox'),
        ('rhand_bbox_xywh', 'righthand_box'),
        ('face_bbox_xywh', 'face_box'),
    ):
        annotated = np.array(
            [p[source] for p in persons if source in p], np.float32
        )
        low = np.clip(annotated[:, :2], 0, (width, height))
        high = annotated[:, :2] + annotated[:, 2:]
        high = np.clip(high, 0, (width, height))
        wanted = np.hstack((low, high - low))
        for box in data[key]:
            assert np.abs(wanted - box[:4]).max(axis=1).min() < 0.01
    # As AiOS does, the datasets take bodies as they are.
    kind = {'coco': COCONADataset, 'ubody': UBodyDataset}[name]
    dataset = kind(
        str(out), str(root), cache_dir=str(tmp_path), test_mode=True
    )
    boxes = dataset[0]['instances_arrays']['bboxes']
    stored = data['bbox_xywh'][dataset.labels['row'][: len(boxes)]]
    np.testing.assert_allclose(boxes[:, :2], stored[:, :2], atol=0.01)
    sizes = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sizes, stored[:, 2:4], atol=1.01)


@pytest.mark.parametrize(
    ('name', 'key'), [('coco', 'ori'), ('ubody', 'ubody')]
)
def test_hips_where_others_look(converted, name, key):
    """COCO's hips stand at 1 and 2, as in mmhuman3d's files, and beyond."""
    data = HumanData.load(converted(name)[2])
    points = data[f'keypoints2d_{key}']
    for side, place in (('left', 1), ('right', 2)):
        extra = HUMAN_DATA_190.index(f'{side}_hip_extra')
        assert (points[:, place, 2] == 1).all()
        np.testing.assert_array_equal(points[:, place], points[:, extra])
        assert data[f'keypoints2d_{key}_mask'][[place, extra]].all()


# -- AGORA --------------------------------------------------------------------


def test_agora_children(converted):
    """Girls are posed with the neutral model, boys with the male one."""
    _, _, out, summary = converted('agora')
    data = HumanData.load(out)
    kids = np.flatnonzero(data['meta']['is_kid'])
    assert [data['meta']['gender'][k] for k in kids] == ['male', 'female']
    assert data['meta']['smplx_valid'][kids].tolist() == [1, 1]
    assert summary.counts['fit differs from joints'] == 0


def test_agora_frames_of_smpl(release, models):
    """OSX's tool puts frames of SMPL of the same names beside them."""
    root, run = release('agora')
    assert (root / 'train_SMPL/SMPL/train_0_withjv.pkl').is_file()
    units = AGORAConverter(root, 'train', models).units()
    assert units == ['train_SMPLX/SMPLX/train_0_withjv.pkl']
    (root / 'SMPLX').mkdir()
    shutil.copy(root / units[0], root / 'SMPLX')
    with pytest.raises(ConverterError) as error:
        run()
    assert 'train_SMPLX/SMPLX/train_0_withjv.pkl' in str(error.value)
    assert 'SMPLX/train_0_withjv.pkl and ' in str(error.value)


def test_agora_part_boxes(converted):
    """Hands and faces are larger by a fifth, bodies as well."""
    data = HumanData.load(converted('agora')[2])
    for side in 'lr':
        group = {'l': 'left_hand', 'r': 'right_hand'}[side]
        joints = SMPLX_144.groups[group]
        assert_boxes(data, f'{side}hand_bbox_xywh', joints, 1.2)
    assert_boxes(data, 'bbox_xywh', range(127), 1.2)
    assert data['misc']['bbox_facehand_scale'] == 1.2


@pytest.mark.parametrize('resolution', ['3840x2160', '1280x720'])
def test_agora_small_frames(models, tmp_path, resolution):
    """Joints of a frame may be pixels of 1280 x 720, names may say so."""
    releases.agora(
        tmp_path, np.random.default_rng(3), models, small_frames=True
    )
    small = AGORAConverter(tmp_path, 'train', models, resolution=resolution)
    summary = convert(small, tmp_path / 'small.npz')
    assert summary.counts['missing image'] == 0
    data = HumanData.load(tmp_path / 'small.npz')
    width = int(resolution.split('x')[0])
    wanted = 3733.3 * width / 3840
    assert np.allclose(data['meta']['focal_length'], wanted, rtol=1e-3)
    assert data['meta']['smplx_valid'].all()
    assert (data['meta']['width'] == width).all()


def test_agora_frames_of_other_images(release):
    """Pixels of anything else are refused, with the frame's name."""
    from toy_dataframe import dump_dataframe

    from aios.utils.dataframe import load_dataframe

    root, run = release('agora')
    file = root / 'train_SMPLX/SMPLX/train_0_withjv.pkl'
    frame = {k: v.tolist() for k, v in load_dataframe(file).items()}
    frame['gt_joints_2d'] = [
        [np.asarray(person) / 2 for person in cell]
        for cell in frame['gt_joints_2d']
    ]
    dump_dataframe(file, frame)
    with pytest.raises(ConverterError, match=r'train_0_withjv.*width of 1920'):
        run()


# -- EgoBody, ARCTIC ----------------------------------------------------------


def test_egobody_frames_that_count(converted):
    """Those of keypoints.npz, between start and end frame, with a fit."""
    _, truth, out, summary = converted('egobody')
    data = HumanData.load(out)
    frames = [path[-9:-4] for path in data['image_path']]
    assert frames == ['00101', '00104']
    assert set(data['image_path']) == set(truth.persons)
    assert summary.counts['before start or after end frame'] == 3
    assert summary.counts['person not visible'] == 1
    assert summary.counts['image without body fit'] == 1


def test_arctic_first_and_last_images(converted):
    """Ten at each end of a camera's images may be black."""
    _, _, out, summary = converted('arctic')
    data = HumanData.load(out)
    first = [p for p in data['image_path'] if p.split('/')[2] == '1']
    assert [p[-9:-4] for p in first] == [
        '00022',
        '00023',
        '00024',
        '00025',
        '00026',
    ]
    assert summary.counts['first or last ten images'] == 8 * 20
