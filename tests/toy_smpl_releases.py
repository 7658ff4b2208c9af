# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small versions of 3DPW, EMDB and RICH, from their public descriptions.

3DPW's ``readme.txt`` (``poses``, ``trans``, ``betas``, ``genders``,
``poses2d``, ``jointPositions``, ``cam_poses``, ``cam_intrinsics``,
``campose_valid``, ``img_frame_ids``; pickles of Python 2), EMDB's
``dataset.md``, the README of the RICH toolkit.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from aios.datasets.converters.bodies import POSES, smpl_joints, smplx_joints

HEIGHT, WIDTH, FOCAL = 72, 128, 120.0
INTRINSICS = np.array([[FOCAL, 0, 64], [0, FOCAL, 36], [0, 0, 1]])
RICH_XML = """<?xml version="1.0"?>
<opencv_storage>
<CameraMatrix type_id="opencv-matrix"><rows>3</rows><cols>4</cols>
<dt>f</dt><data>{extrinsics}</data></CameraMatrix>
<Intrinsics type_id="opencv-matrix"><rows>3</rows><cols>3</cols>
<dt>f</dt><data>{intrinsics}</data></Intrinsics>
<Distortion type_id="opencv-matrix"><rows>1</rows><cols>5</cols>
<dt>f</dt><data>0.1 0 0 0 0</data></Distortion>
</opencv_storage>
"""


def draw_images(root: Path, names) -> None:
    """Gray images."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 127, np.uint8))


def moving_camera(count: int) -> np.ndarray:
    """``(count, 4, 4)`` from a world with y up to a camera that walks."""
    extrinsics = np.tile(np.eye(4), (count, 1, 1))
    angles = np.pi + 0.02 * np.arange(count)
    extrinsics[:, :3, :3] = Rotation.from_rotvec(
        np.outer(angles, (1, 0, 0))
    ).as_matrix()
    extrinsics[:, :3, 3] = (0.1, -0.2, 4.5)
    extrinsics[:, 0, 3] += 0.05 * np.arange(count)
    return extrinsics


def walking(count: int, seed: int, side: float = 0.0) -> SimpleNamespace:
    """A person who walks slowly with hands at rest, in world coordinates."""
    rng = np.random.default_rng(seed)
    pose = np.zeros((count, 72))
    pose[:, 3:66] = rng.normal(0, 0.2, 63) + rng.normal(0, 0.02, (count, 63))
    pose[:, :3] = rng.normal(0, 0.1, 3)
    transl = np.zeros((count, 3))
    transl[:, 0] = side + 0.03 * np.arange(count)
    transl[:, 1] = 0.4
    return SimpleNamespace(
        pose=pose, betas=rng.normal(0, 0.5, 10), transl=transl
    )


def make_3dpw(root: Path, models: Path) -> dict[str, list]:
    """Two sequences; of the second person one frame is not aligned.

    Returns:
        By image the joints ``(24, 3)`` of the persons in the camera.
    """
    truth: dict[str, list] = {}
    for sequence, genders in (('walk_00', 'mf'), ('alone_01', 'm')):
        count = 3
        extrinsics = moving_camera(count)
        names = [
            f'imageFiles/{sequence}/image_{i:05d}.jpg' for i in range(count)
        ]
        draw_images(root, names)
        valid = np.ones((len(genders), count), np.int64)
        valid[-1, 1] = 0
        content: dict = dict(
            sequence=sequence,
            genders=[*genders],
            cam_intrinsics=INTRINSICS,
            cam_poses=extrinsics,
            campose_valid=[*valid],
            img_frame_ids=np.arange(count) * 2,
            poses=[],
            trans=[],
            betas=[],
            jointPositions=[],
            poses2d=[np.zeros((count, 3, 18))] * len(genders),
        )
        for number, gender in enumerate(genders):
            person = walking(count, number, 1.4 * number - 0.5)
            joints = smpl_joints(
                person.pose,
                person.betas,
                person.transl,
                str(models),
                {'m': 'male', 'f': 'female'}[gender],
            )
            content['poses'].append(person.pose)
            content['trans'].append(person.transl)
            content['betas'].append(person.betas)
            content['jointPositions'].append(joints.reshape(count, 72))
            for frame in np.flatnonzero(valid[number]):
                rotation, offset = np.split(extrinsics[frame, :3], [3], 1)
                seen = joints[frame] @ rotation.T + offset[:, 0]
                truth.setdefault(names[frame], []).append(seen)
        path = root / f'sequenceFiles/test/{sequence}.pkl'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content, protocol=2))
    return truth


def make_emdb(
    root: Path, count: int = 4, scale: float = 1.0
) -> dict[str, SimpleNamespace]:
    """One sequence of EMDB 1, one of EMDB 2; one frame each is bad.

    Args:
        root: Folder to write.
        count: Frames of a sequence.
        scale: Of the camera's motion.

    Returns:
        Persons by sequence.
    """
    persons = {}
    for number, name in enumerate(('P1/14_outdoor_climb', 'P2/20_walk')):
        person = walking(count, 10 + number)
        extrinsics = moving_camera(count)
        good = np.ones(count, bool)
        good[1] = False
        names = [f'{name}/images/{i:05d}.jpg' for i in range(count)]
        draw_images(root, names)
        content = dict(
            gender='female',
            name=name.replace('/', '_'),
            emdb1=number == 0,
            emdb2=number == 1,
            n_frames=count,
            good_frames_mask=good,
            camera=dict(
                intrinsics=INTRINSICS,
                extrinsics=extrinsics,
                width=WIDTH,
                height=HEIGHT,
            ),
            smpl=dict(
                poses_root=person.pose[:, :3],
                poses_body=person.pose[:, 3:],
                trans=person.transl,
                betas=person.betas,
            ),
            kp2d=np.zeros((count, 24, 2)),
            bboxes=dict(
                bboxes=np.tile((1.0, 2.0, 30.0, 60.0), (count, 1)),
                invalid_idxs=np.flatnonzero(~good),
            ),
        )
        file = root / name / f'{name.replace("/", "_")}_data.pkl'
        file.write_bytes(pickle.dumps(content))
        person.good, person.extrinsics = good, extrinsics
        persons[name] = person
    return persons


def make_rich(root: Path, models: Path) -> dict[str, list]:
    """A sequence of two subjects, two cameras and two frames.

    Returns:
        By image the joints ``(144, 3)`` of the persons in the camera.
    """
    rng = np.random.default_rng(4)
    sequence, truth = 'Gym_013_018_lift', {}
    cameras = {0: np.eye(4)[:3], 2: moving_camera(3)[2][:3]}
    cameras[0] = moving_camera(1)[0][:3]
    folder = root / 'scan_calibration/Gym/calibration'
    folder.mkdir(parents=True)
    for number, extrinsics in cameras.items():
        text = RICH_XML.format(
            extrinsics=' '.join(map(str, extrinsics.ravel())),
            intrinsics=' '.join(map(str, INTRINSICS.ravel())),
        )
        (folder / f'{number:03d}.xml').write_text(text)
    (root / 'gender.json').write_text(
        json.dumps({'13': 'female', '18': 'male'})
    )
    for subject, gender, side in (('013', 'female', -0.6), ('018', 'male', 1)):
        for frame in (110, 111):
            params = {k: rng.normal(0, 0.15, (1, n)) for k, n in POSES.items()}
            params['leye_pose'][:] = params['reye_pose'][:] = 0
            params['betas'] = rng.normal(0, 0.5, (1, 10))
            params['expression'] = rng.normal(0, 0.5, (1, 10))
            params['transl'] = np.array([[side, 0.3, 0.0]])
            stored = dict(params)
            for hand in ('left_hand_pose', 'right_hand_pose'):
                stored[hand] = np.zeros((1, 45))
                params[hand] = stored[hand]
            file = root / f'bodies/test/{sequence}/{frame:05d}/{subject}.pkl'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pickle.dumps(stored))
            joints = smplx_joints(params, str(models), gender)[0]
            for number, extrinsics in cameras.items():
                name = (
                    f'images/test/{sequence}/cam_{number:02d}/'
                    f'{frame:05d}_{number:02d}.jpeg'
                )
                seen = joints @ extrinsics[:, :3].T + extrinsics[:, 3]
                truth.setdefault(name, []).append(seen)
    draw_images(root, truth)
    return truth
