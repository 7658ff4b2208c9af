# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small versions of synthetic releases: AGORA and BEDLAM."""

from __future__ import annotations

import pickle

import numpy as np
from toy_bodies import (
    Truth,
    image,
    move_back,
    random_motion,
    sample_params,
)
from toy_dataframe import dump_dataframe

from aios.datasets.converters.bodies import (
    _arrays,
    kid_model,
    smplx_joints,
)

# Name, height, width: an ordinary scene; a close-up, which is stored lying;
# and the one close-up that is not.
SCENES = (
    ('20221010_3_1000_batch01hand_6fps', 720, 1280),
    ('20221011_1_250_batch01hand_closeup_suburb_a_6fps', 1280, 720),
    ('20221017_1_250_batch01hand_closeup_suburb_a_6fps', 720, 1280),
)
_BEDLAM_POSES = (
    'global_orient',
    'body_pose',
    'jaw_pose',
    'leye_pose',
    'reye_pose',
    'left_hand_pose',
    'right_hand_pose',
)


def bedlam(root, rng, models):
    """Three scenes of two images; AGORA's labels lie in the same folder."""
    truth = Truth()
    labels = root / 'all_npz_12_training'
    labels.mkdir(parents=True)
    for scene, height, width in SCENES:
        params = sample_params(rng, 3, betas=11)
        params['expression'][:] = 0
        joints = smplx_joints(params, models, flat_hand_mean=True)
        camera = np.array([900.0, 900.0, width / 2, height / 2])
        names = [f'seq_000000/seq_000000_{n:04d}.png' for n in (0, 0, 5)]
        _bedlam_labels(labels / f'{scene}.npz', names, params, camera, rng)
        clean = scene.replace('_closeup', '') if height > width else scene
        for row, name in enumerate(names):
            if clean != scene:  # as downloaded
                image(root / f'train_images/{scene}/png/{name}', width, height)
            image(root / f'train_images/{clean}/png/{name}', height, width)
            truth.add(f'{clean}/png/{name}', joints[row], camera)
    for name in ('agora-bfh', 'agora-body'):
        file = 'ag_trainset_3dpeople_bfh_hdri_50mm_5_10_00000_1280x720.png'
        imgname = np.array([f'images/{file}'] * 2)
        pose = np.zeros((2, 165), np.float32)
        np.savez(labels / f'{name}.npz', imgname=imgname, pose_cam=pose)
    return truth


def _bedlam_labels(file, names, params, camera, rng):
    count = len(names)
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    extrinsics[:, :3, 3] = rng.normal(0, 1, (count, 3))
    fx, fy, cx, cy = camera
    intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    pose = np.concatenate([params[k] for k in _BEDLAM_POSES], axis=1)
    np.savez(
        file,
        imgname=np.array(names),
        center=np.zeros((count, 2)),
        scale=np.ones(count),
        pose_cam=pose,
        pose_world=pose.astype(np.float32),
        trans_cam=params['transl'] - extrinsics[:, :3, 3],
        trans_world=np.zeros((count, 3), np.float32),
        cam_ext=extrinsics,
        cam_int=np.tile(intrinsics, (count, 1, 1)).astype(np.float32),
        shape=params['betas'],
        gtkps=np.zeros((count, 127, 2), np.float32),
        # Bodies are neutral regardless of this field.
        gender=np.array(['male', 'female', 'male'][:count]),
        sub=np.array(['rp_aaron_posed_002'] * count, object),
        motion_info=np.array(['b'] * count, object),
    )


AGORA_COLUMNS = (
    'imgPath',
    'gender',
    'kid',
    'occlusion',
    'isValid',
    'gt_path_smplx',
    'gt_joints_2d',
    'gt_joints_3d',
)
_IMAGES = (
    'ag_trainset_renderpeople_bfh_hdri_50mm_5_10_00000',
    'ag_trainset_3dpeople_bfh_archviz_5_10_cam00_00001',
)
# Gender and whether a child, of the persons of each image; children but boys
# have the neutral model.
_PERSONS = (
    (('male', False), ('female', False), ('male', True)),
    (('female', True), ('female', False)),
)


def agora(root, rng, models, with_template=True, small_frames=False):
    """Two images, children among the persons; data frames as downloaded.

    Args:
        root: Folder to write to.
        rng: Random numbers.
        models: Folder of the body models.
        with_template: Whether to write the kid template.
        small_frames: Whether joints are pixels of 1280 x 720.
    """
    truth = Truth()
    focal, (height, width) = 3733.3, (2160, 3840)
    camera = np.array([focal, focal, width / 2, height / 2])
    template = root / 'smplx_kid_template.npy'
    np.save(template, _arrays(models, 'neutral')['v_template'] * 0.6 + 0.1)
    rows = {key: [] for key in AGORA_COLUMNS}
    for index, (name, persons) in enumerate(
        zip(_IMAGES, _PERSONS, strict=True)
    ):
        image(root / f'1280x720/train_0/{name}_1280x720.png', 720, 1280)
        image(root / f'3840x2160/train_0/{name}.png', height, width)
        # With the size in the name, and without.
        suffix = '_1280x720' if small_frames and index else ''
        cells = {key: [] for key in AGORA_COLUMNS}
        for k, (gender, kid) in enumerate(persons):
            params, joints = _agora_person(rng, models, gender, kid, template)
            path = f'3840x2160/train_0/{name}.png'
            truth.add(path, joints, camera)
            pixels = truth.persons[path][-1][1] / (3 if small_frames else 1)
            fit = f'smplx_gt/trainset_renderpeople_bfh/{name}_{k}.obj'
            _dump_fit((root / fit).with_suffix('.pkl'), params, rng, joints)
            cells['gender'].append(gender)
            cells['kid'].append(np.bool_(kid))
            cells['occlusion'].append((5.0, 98.5, 20)[k])
            cells['isValid'].append(k != 1)
            cells['gt_path_smplx'].append(fit)
            cells['gt_joints_2d'].append(pixels[:127].astype(np.float32))
            cells['gt_joints_3d'].append(joints[:127])
        cells['imgPath'] = f'{name}{suffix}.png'
        for key, cell in cells.items():
            rows[key].append(cell)
    if not with_template:
        template.unlink()
    for kind, count in (('SMPLX', 127), ('SMPL', 45)):
        folder = root / f'train_{kind}/{kind}'
        folder.mkdir(parents=True)
        for key in ('gt_joints_2d', 'gt_joints_3d'):
            rows[key] = [[j[:count] for j in cell] for cell in rows[key]]
        dump_dataframe(folder / 'train_0_withjv.pkl', rows)
    return truth


def _agora_person(rng, models, gender, kid, template):
    """Parameters and joints; the fits of adults have 11 betas, too."""
    params = sample_params(rng, 1, betas=11)
    params['betas'][0, 10] = 0.7 if kid else 0
    if not kid:
        adult = {**params, 'betas': params['betas'][:, :10]}
        return params, smplx_joints(adult, models, gender)[0]
    gender = 'male' if gender == 'male' else 'neutral'
    model = kid_model(models, gender, str(template))
    return params, smplx_joints(params, model, gender)[0]


def _dump_fit(file, params, rng, joints):
    back = move_back(params, joints[None], random_motion(rng))
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, 'wb') as stream:
        pickle.dump(back, stream, protocol=2)
