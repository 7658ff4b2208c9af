# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small versions of captured releases: ARCTIC, EgoBody, EHF."""

from __future__ import annotations

import json
import pickle

import numpy as np
from toy_bodies import (
    Truth,
    image,
    move_back,
    random_motion,
    rows_of,
    sample_params,
    to_matrix,
)

from aios.datasets.converters.bodies import POSES, _arrays, smplx_joints


def arctic(root, rng, models):
    """One sequence of 25 frames, seen by eight cameras; ten betas.

    The first and last ten images of a camera are black and not labeled.
    """
    truth, offset, count = Truth(), 12, 25
    params = sample_params(rng, count)
    params['betas'][:] = params['betas'][0]
    params['expression'][:] = 0
    joints = smplx_joints(params, models, 'female', True)
    # Subjects are identified by their mesh.
    arrays = _arrays(models, 'female')
    mesh = (
        arrays['v_template']
        + arrays['shapedirs'][..., :10] @ params['betas'][0]
    )
    shift = np.array([0.01, 0.02, -0.03])
    worlds, matrices = [], []
    for camera in range(8):
        motion = random_motion(rng)
        if camera == 0:
            back = move_back(params, joints, motion)
            in_world = (joints - motion[:3, 3]) @ motion[:3, :3]
        # Every camera looks at the persons from where the first one does,
        # turned a little.
        turn = np.eye(4)
        turn[:3, :3] = to_matrix(rng.normal(0, 0.02, 3))
        world = turn @ (motion if camera == 0 else worlds[0])
        if camera == 0:
            world = motion
        worlds.append(world)
        matrices.append(np.array([[400.0, 0, 140], [0, 400, 100], [0, 0, 1]]))
        seen = in_world @ world[:3, :3].T + world[:3, 3]
        for frame in range(count):
            name = f's05/box_use_01/{camera + 1}/{frame + offset:05d}.jpg'
            image(root / 'images' / name, 200, 280)
            if 10 <= frame < count - 10:
                truth.add(name, seen[frame], np.array([400, 400, 140, 100]))
    # Other views and crops, which are not converted.
    image(root / 'images/s05/box_use_01/0/00030.jpg', 200, 280)
    image(root / 'cropped_images/s05/box_use_01/1/00030.jpg', 100, 100)
    folder = root / 'raw_seqs/s05'
    folder.mkdir(parents=True)
    back['transl'] = back['transl'] - shift  # the mesh is moved by it
    motion = {k: back[k] for k in ('transl', *POSES)}
    np.save(folder / 'box_use_01.smplx.npy', motion, allow_pickle=True)
    (root / 'meta/subject_vtemplates').mkdir(parents=True)
    lines = [f'v {x:.8f} {y:.8f} {z:.8f}' for x, y, z in mesh + shift]
    file = root / 'meta/subject_vtemplates/s05.obj'
    file.write_text('\n'.join(['# made up', *lines, 'f 1 2 3']))
    info = {
        'gender': 'female',
        'ioi_offset': offset,
        'world2cam': np.array(worlds).tolist(),
        'intris_mat': np.array(matrices).tolist(),
        'image_size': [[1000, 700], *[[280, 200]] * 8],
    }
    (root / 'meta/misc.json').write_text(json.dumps({'s05': info}))
    (root / 'splits_json').mkdir()
    splits = {'train': [], 'val': ['s05/box_use_01'], 'test': []}
    (root / 'splits_json/protocol_p1.json').write_text(json.dumps(splits))
    return truth


# Of the frames of EgoBody, numbered from 100.
_GOOD = (1, 4)
_UNSEEN, _WITHOUT_FIT = 2, 3


def egobody(root, rng, models):
    """One recording of seven frames, two of them good.

    Of the others one is too early, two too late, in one the person is not
    visible, and one has no fit.
    """
    truth, name = Truth(), 'recording_20210907_S02_S01_01'
    date = '2021-09-07-155421'
    camera = np.array([1450.0, 1450.0, 960.0, 540.0])
    count = 7
    params = sample_params(rng, count)
    arrays = _arrays(models, 'male')
    for side in ('left', 'right'):
        # twelve PCA coefficients, as released
        coefficients = rng.normal(0, 0.3, (count, 12))
        components = arrays[f'hands_components{side[0]}'][:12]
        params[f'{side}_hand_pose'] = coefficients @ components
        params[f'{side}_pca'] = coefficients
    joints = smplx_joints(params, models, 'male')
    holo_to_kinect = random_motion(rng)
    kinect_to_holo = np.linalg.inv(holo_to_kinect)
    to_opencv = np.diag((1.0, -1, -1, 1))
    lines, visible = ['960,540,1920,1080'], []
    images = root / f'egocentric_color/{name}/{date}'
    for frame in range(count):
        # kinect -> holo world -> headset (OpenGL) -> OpenCV
        pv_to_world = random_motion(rng)
        motion = to_opencv @ np.linalg.inv(pv_to_world) @ kinect_to_holo
        one = rows_of(params, frame)
        back = move_back(one, joints[frame : frame + 1], motion)
        stamp = 132754893000000000 + frame
        values = ','.join(f'{v:.10f}' for v in pv_to_world.ravel())
        lines.append(f'{stamp},1450,1450,{values}')
        label = f'frame_{frame + 100:05d}'
        image(images / 'PV' / f'{stamp}_{label}.jpg', 1080, 1920)
        path = images.relative_to(root) / 'PV' / f'{stamp}_{label}.jpg'
        if frame != _UNSEEN:
            visible.append(path.as_posix())
        if frame == _WITHOUT_FIT:
            continue
        if frame in _GOOD:
            truth.add(path.as_posix(), joints[frame], camera)
        out = (
            root / f'smplx_interactee_train/{name}/body_idx_1/results/{label}'
        )
        out.mkdir(parents=True)
        record = {k: back[k].astype('f4') for k in back if 'pca' not in k}
        for side in ('left', 'right'):
            record[f'{side}_hand_pose'] = one[f'{side}_pca'].astype('f4')
        record['gender'] = 'male'
        with open(out / '000.pkl', 'wb') as file:
            pickle.dump(record, file, protocol=2)
    (images / f'{date}_pv.txt').write_text('\n'.join(lines))
    # OpenPose's joints, of the images in which the person is seen.
    np.savez(
        images / 'keypoints.npz',
        imgname=np.array(visible),
        center=np.zeros((len(visible), 2)),
        scale=np.ones(len(visible)),
        keypoints=np.zeros((len(visible), 25, 3)),
        gender=np.array(['male'] * len(visible)),
    )
    wearer = root / f'smplx_camera_wearer_train/{name}/body_idx_0/results'
    (wearer / 'frame_00101').mkdir(parents=True)
    folder = root / f'calibrations/{name}/cal_trans'
    folder.mkdir(parents=True)
    (folder / 'holo_to_kinect12.json').write_text(
        json.dumps({'trans': holo_to_kinect.tolist()})
    )
    (root / 'data_splits.csv').write_text(f'train,val,test\n{name},other,\n')
    (root / 'data_info_release.csv').write_text(
        'scene_name,recording_name,start_frame,end_frame,body_idx_0,'
        'body_idx_1,body_idx_fpv\n'
        f'seminar_g110,{name},101,104,0 female,1 male,0 female\n'
    )
    return truth


def ehf(root, rng, models, binary=True):
    """Two meshes in the frame of the scan; fits of bodies and hands only."""
    import torch

    from aios.body_models import SMPLXLayer
    from aios.datasets.converters import ehf as release

    truth = Truth()
    params = sample_params(rng, 2)
    params['transl'] = np.array([[0, 0, 2.3], [0.1, 0.1, 2.5]])
    layer = SMPLXLayer(models)
    out = layer(**{k: torch.tensor(v).float() for k, v in params.items()})
    vertices = out.vertices.numpy().astype(np.float64)
    joints = out.joints.numpy()
    turn = to_matrix(np.array(release.ROTATION))
    scan = (vertices - release.TRANSLATION) @ turn
    camera = np.array([*release.FOCAL, *release.CENTER])
    for row in range(2):
        stem = f'{row + 1:02d}'
        image(root / f'{stem}_img.png', 1200, 1600)
        (root / f'{stem}_2Djnt.json').write_text('{"people": []}')
        (root / f'{stem}_scan.obj').write_text('v 0 0 0')
        write_ply(root / f'{stem}_align.ply', scan[row], binary)
        truth.add(f'{stem}_img.png', joints[row], camera)
    folder = root / 'fitted_params'
    folder.mkdir()
    fit = rows_of(params, 0)
    for absent in ('jaw_pose', 'leye_pose', 'reye_pose'):
        del fit[absent]
    np.savez(folder / '01_align.npz', **fit)
    return truth


def write_ply(path, vertices, binary):
    kind = 'binary_little_endian' if binary else 'ascii'
    header = (
        f'ply\nformat {kind} 1.0\nelement vertex {len(vertices)}\n'
        'property float x\nproperty float y\nproperty float z\n'
        'element face 1\nproperty list uchar int vertex_indices\nend_header\n'
    )
    data = vertices.astype('<f4').tobytes()
    if not binary:
        rows = [' '.join(f'{v:.7f}' for v in row) for row in vertices]
        data = ('\n'.join(rows) + '\n3 0 1 2\n').encode()
    path.write_bytes(header.encode() + data)
