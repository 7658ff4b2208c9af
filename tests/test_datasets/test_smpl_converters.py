# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""3DPW, EMDB and RICH, on miniatures of their layouts."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_smpl_releases as releases
from gt_fields import check_gt_instances
from hostile_pickles import Call
from toy_bodies import hide_files
from toy_smpl_releases import FOCAL, HEIGHT, WIDTH

from aios.body_models import MissingBodyModelError
from aios.datasets import EMDBDataset, HumanData, PW3DDataset, RICHDataset
from aios.datasets.converters import (
    ConverterError,
    EMDBConverter,
    PW3DConverter,
    RICHConverter,
    convert,
)
from aios.datasets.converters.bodies import smpl_joints, smplx_joints
from aios.structures import SMPL_22
from aios.utils.safe_io import UnsafeFileError

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'LoadHumanAnnotations'},
    {'type': 'WholeBodyResize', 'scale': (200, 150)},
    {'type': 'PackWholeBodyInputs'},
]


def check_rows(data: HumanData, truth: dict[str, list], shared: int) -> None:
    """Rows are the true persons, in the camera and in pixels."""
    assert len(data) == sum(map(len, truth.values()))
    kind = 'smpl' if 'smpl' in data else 'smplx'
    names = SMPL_22 if kind == 'smpl' else 'smplx_144'
    points = data.joints(f'keypoints3d_{kind}', names)[:, :shared]
    pixels = data.joints(f'keypoints2d_{kind}', names)[:, :shared]
    for row, path in enumerate(data['image_path']):
        persons = [person[:shared] for person in truth[path]]
        errors = [np.abs(p - points[row, :, :3]).max() for p in persons]
        assert min(errors) < 1e-4
        person = persons[int(np.argmin(errors))]
        seen = person[:, :2] / person[:, 2:] * FOCAL + (64, 36)
        assert np.abs(seen - pixels[row, :, :2]).max() < 0.02
        left, top, width, height, confidence = data['bbox_xywh'][row]
        assert confidence == 1
        assert 0 <= left <= left + width <= WIDTH
        assert 0 <= top <= top + height <= HEIGHT


def check_parameters(data: HumanData, models: Path) -> None:
    """SMPL of the stored parameters has the stored joints."""
    params = data['smpl']
    points = data.joints('keypoints3d_smpl', SMPL_22)[..., :3]
    for row, gender in enumerate(data['meta']['gender']):
        pose = np.hstack(
            (params['global_orient'][row], params['body_pose'][row].ravel())
        )
        joints = smpl_joints(
            pose[None],
            params['betas'][row],
            params['transl'][row : row + 1],
            str(models),
            gender,
        )
        assert np.abs(joints[0, :22] - points[row]).max() < 1e-4


def test_3dpw(smpl_models, tmp_path):
    root, out = tmp_path / '3DPW', tmp_path / '3dpw_test.npz'
    truth = releases.make_3dpw(root, smpl_models)
    hide_files(root)
    summary = convert(PW3DConverter(root), out)
    assert summary.counts['camera not aligned'] == 2
    assert not summary.missing
    data = HumanData.load(out)
    check_rows(data, truth, 22)
    check_parameters(data, smpl_models)
    assert sorted(data['meta']['gender']) == [*['female'] * 2, *['male'] * 5]
    dataset = PW3DDataset(
        str(out), str(root), {'img': ''}, PIPELINE, test_mode=True
    )
    persons = [item['data_samples'].gt_instances for item in dataset]
    for sample in persons:
        check_gt_instances(sample)
        assert sample.smpl_pose.shape == (len(sample), 72)
        assert (sample.keypoints3d_visible.sum(1) == 15).all()
    assert sorted(map(len, persons)) == [1, 1, 1, 2, 2]


def test_intervals_keep_all_persons_of_an_image(smpl_models, tmp_path):
    root, out = tmp_path / '3DPW', tmp_path / '3dpw_test.npz'
    truth = releases.make_3dpw(root, smpl_models)
    convert(PW3DConverter(root, interval=2), out)
    images, counts = np.unique(
        HumanData.load(out)['image_path'], return_counts=True
    )
    expected = [
        f'imageFiles/{name}.jpg'
        for name in ('alone_01/image_00000', 'walk_00/image_00000')
    ]
    expected.append('imageFiles/walk_00/image_00002.jpg')
    assert images.tolist() == expected
    assert counts.tolist() == [len(truth[name]) for name in expected]


def test_emdb(smpl_models, tmp_path):
    root = tmp_path / 'EMDB'
    persons = releases.make_emdb(root)
    hide_files(root)
    for split, name in (('emdb1', 'P1/14_outdoor_climb'), ('all', None)):
        out = tmp_path / f'emdb_{split}.npz'
        convert(EMDBConverter(root, split, str(smpl_models)), out)
        data = HumanData.load(out)
        check_parameters(data, smpl_models)
        truth: dict[str, list] = {}
        for unit in [name] if name else persons:
            person = persons[unit]
            joints = smpl_joints(
                person.pose,
                person.betas,
                person.transl,
                str(smpl_models),
                'female',
            )
            for frame in np.flatnonzero(person.good):
                matrix = person.extrinsics[frame]
                seen = joints[frame] @ matrix[:3, :3].T + matrix[:3, 3]
                truth[f'{unit}/images/{frame:05d}.jpg'] = [seen]
        check_rows(data, truth, 22)
    dataset = EMDBDataset(
        str(out), str(root), {'img': ''}, PIPELINE, test_mode=True
    )
    assert len(dataset) == 6
    sample = dataset[5]['data_samples']
    np.testing.assert_allclose(
        sample.gt_instances.extrinsics[0],
        persons['P2/20_walk'].extrinsics[3],
        atol=1e-6,
    )


def test_rich(smpl_models, tmp_path):
    root, out = tmp_path / 'RICH', tmp_path / 'rich_test.npz'
    truth = releases.make_rich(root, smpl_models)
    (root / next(iter(truth))).unlink()  # a frame that was not extracted
    truth.pop(next(iter(truth)))
    folder = root / 'images/test/Gym_013_018_lift'
    shutil.copytree(folder / 'cam_02', folder / 'cam_05')
    hide_files(root)
    summary = convert(RICHConverter(root, 'test', str(smpl_models)), out)
    assert summary.counts['missing image'] == 2
    assert summary.counts['camera without calibration'] == 1
    data = HumanData.load(out)
    check_rows(data, truth, 127)
    params = data['smplx']
    for row, gender in enumerate(data['meta']['gender']):
        body = {k: v[row : row + 1] for k, v in params.items()}
        joints = smplx_joints(body, str(smpl_models), gender)
        stored = data.joints('keypoints3d_smplx', 'smplx_144')[row, :, :3]
        assert np.abs(joints[0] - stored).max() < 1e-4
    dataset = RICHDataset(
        str(out), str(root), {'img': ''}, PIPELINE, test_mode=True
    )
    assert [len(s['data_samples'].gt_instances) for s in dataset] == [2, 2, 2]


def test_bad_releases(smpl_models, tmp_path):
    root = tmp_path / '3DPW'
    releases.make_3dpw(root, smpl_models)
    file = root / 'sequenceFiles/test/alone_01.pkl'
    content = pickle.loads(file.read_bytes())
    for name, value, message in (
        ('genders', ['x'], "alone_01.pkl: unexpected content.*'x'"),
        ('poses', [np.zeros((2, 72))], 'alone_01.pkl: unexpected content'),
        ('cam_poses', None, 'alone_01.pkl: unexpected content'),
    ):
        file.write_bytes(pickle.dumps(content | {name: value}, 2))
        with pytest.raises(ConverterError, match=message):
            PW3DConverter(root).convert('alone_01')
    file.write_bytes(
        pickle.dumps(content | {'texture': Call(print, 'run')}, 2)
    )
    with pytest.raises(UnsafeFileError, match='alone_01.pkl.*print'):
        PW3DConverter(root).convert('alone_01')

    emdb = tmp_path / 'EMDB'
    releases.make_emdb(emdb)
    with pytest.raises(MissingBodyModelError, match='smpl.is.tue.mpg.de'):
        EMDBConverter(emdb, 'emdb1', str(tmp_path)).convert(
            'P1/14_outdoor_climb'
        )

    rich = tmp_path / 'RICH'
    releases.make_rich(rich, smpl_models)
    calibration = rich / 'scan_calibration/Gym/calibration/000.xml'
    calibration.write_text('<opencv_storage></opencv_storage>')
    with pytest.raises(ConverterError, match='000.xml.*CameraMatrix'):
        RICHConverter(rich, 'test', str(smpl_models)).convert(
            'Gym_013_018_lift'
        )
    calibration.write_text('no xml')
    with pytest.raises(ConverterError, match='000.xml: not XML'):
        RICHConverter(rich, 'test', str(smpl_models)).convert(
            'Gym_013_018_lift'
        )
