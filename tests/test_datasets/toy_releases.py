# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Miniatures of the official releases, made of the free body.

Each function writes a few people in a release's own folders, names, files and
coordinates, and returns what is true of them in the camera: joints and pixels
by picture.
"""

# Long because each of the releases has its own layout.

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation
from toy_dataframe import dump_dataframe

from aios.datasets import (
    AGORADataset,
    ARCTICDataset,
    BEDLAMDataset,
    COCONADataset,
    EgoBodyDataset,
    EHFDataset,
    UBodyDataset,
)
from aios.datasets.converters import (
    AGORAConverter,
    ARCTICConverter,
    BEDLAMConverter,
    COCOConverter,
    EgoBodyConverter,
    EHFConverter,
    UBodyConverter,
)
from aios.datasets.converters.bodies import (
    POSES,
    _arrays,
    kid_model,
    smplx_joints,
)

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'


def to_matrix(rotvec):
    return Rotation.from_rotvec(rotvec).as_matrix()


@dataclass
class Truth:
    """What a converted file must say.

    ``people``: picture to a list of (joints (144, 3), pixels (144, 2)).
    """

    people: dict = field(default_factory=dict)

    def add(self, picture, joints, camera):
        pixels = joints[:, :2] / joints[:, 2:] * camera[:2] + camera[2:4]
        self.people.setdefault(picture, []).append((joints, pixels))


def sample_params(rng, count, betas=10, spread=0.15):
    """Mild random bodies about 4 m in front of a camera, upright."""
    params = {
        name: rng.normal(0, spread, (count, size))
        for name, size in POSES.items()
    }
    params['leye_pose'][:] = params['reye_pose'][:] = 0
    params['global_orient'] += (np.pi, 0, 0)
    params['betas'] = rng.normal(0, 0.5, (count, betas))
    params['expression'] = rng.normal(0, 0.5, (count, 10))
    low, high = (-0.8, -0.3, 4), (0.8, 0.3, 5)
    params['transl'] = rng.uniform(low, high, (count, 3))
    return params


def image(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def paint(images, truth):
    """Draw the true joints into the pictures of a release, as dots."""
    for name, people in truth.people.items():
        picture = cv2.imread(str(images / name))
        radius = max(1, picture.shape[1] // 640)
        for _, pixels in people:
            for x, y in pixels.round().astype(int).tolist():
                cv2.circle(picture, (x, y), radius, (255, 255, 255), -1)
        cv2.imwrite(str(images / name), picture)


def rows_of(params, row):
    return {name: value[row : row + 1] for name, value in params.items()}


def random_motion(rng):
    motion = np.eye(4)
    turn = np.array([0.1, 0.6, -0.2]) + rng.normal(0, 0.05, 3)
    motion[:3, :3] = to_matrix(turn)
    motion[:3, 3] = rng.normal(0, 1, 3)
    return motion


def move_back(params, joints, motion):
    """Root of bodies before a motion that brings them where they are."""
    inverse = np.linalg.inv(motion)
    root = inverse[:3, :3] @ to_matrix(params['global_orient'])
    pelvis = joints[:, 0] @ inverse[:3, :3].T + inverse[:3, 3]
    rest = joints[:, 0] - params['transl']
    return {
        **params,
        'global_orient': Rotation.from_matrix(root).as_rotvec(),
        'transl': pelvis - rest,
    }


def bedlam(root, rng, models):
    truth = Truth()
    for scene, size in (('scene_a', (720, 1280)), ('scene_b_closeup', None)):
        height, width = size or (1280, 720)
        params = sample_params(rng, 3, betas=11)
        params['expression'][:] = 0
        joints = smplx_joints(params, models, flat_hand_mean=True)
        camera = np.array([900.0, 900.0, width / 2, height / 2])
        matrix = np.array(
            [[900, 0, width / 2], [0, 900, height / 2], [0, 0, 1]]
        )
        names = ['seq_0/seq_0_0000.png'] * 2 + ['seq_0/seq_0_0005.png']
        extrinsics = np.tile(np.eye(4), (3, 1, 1))
        extrinsics[:, :3, 3] = rng.normal(0, 1, (3, 3))
        pose = np.concatenate(
            [
                params[k]
                for k in (
                    'global_orient',
                    'body_pose',
                    'jaw_pose',
                    'leye_pose',
                    'reye_pose',
                    'left_hand_pose',
                    'right_hand_pose',
                )
            ],
            axis=1,
        )
        folder = root / 'all_npz_12_training'
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(
            folder / f'{scene}.npz',
            imgname=np.array(names),
            pose_cam=pose,
            trans_cam=params['transl'] - extrinsics[:, :3, 3],
            cam_ext=extrinsics,
            cam_int=np.tile(matrix, (3, 1, 1)),
            shape=params['betas'],
            gender=np.array(['male'] * 3, object),
            sub=np.array(['rp'] * 3, object),
        )
        clean = scene.removesuffix('_closeup')
        for row, name in enumerate(names):
            path = f'{clean}/png/{name}'
            image(root / 'train_images' / path, height, width)
            truth.add(path, joints[row], camera)
    return truth


def _whole_body(pixels, rng):
    """COCO-WholeBody annotation of projected joints, all visible."""
    from aios.structures import joint_mapping

    index = joint_mapping('smplx_144', 'coco_wholebody', approximate=True)
    points = np.zeros((133, 3))
    known = index >= 0
    points[known, :2] = pixels[index[known]]
    points[known, 2] = 2

    def box(group):
        low, high = group.min(0), group.max(0)
        return [*low.tolist(), *(high - low).tolist()]

    def flat(start, end):
        return points[start:end].ravel().tolist()

    hands = points[92:112, :2], points[113:133, :2]
    return {
        'bbox': box(pixels[:55]),
        'iscrowd': 0,
        'num_keypoints': 17,
        'keypoints': flat(0, 17),
        'foot_kpts': flat(17, 23),
        'face_kpts': flat(23, 91),
        'lefthand_kpts': flat(91, 112),
        'righthand_kpts': flat(112, 133),
        'lefthand_box': box(hands[0]),
        'righthand_box': box(hands[1]),
        'face_box': box(points[23:91, :2]),
        'lefthand_valid': True,
        'righthand_valid': True,
        'face_valid': True,
    }


def _neural_annot(params, row, camera):
    names = {
        'root_pose': 'global_orient',
        'body_pose': 'body_pose',
        'shape': 'betas',
        'lhand_pose': 'left_hand_pose',
        'rhand_pose': 'right_hand_pose',
        'jaw_pose': 'jaw_pose',
        'expr': 'expression',
        'trans': 'transl',
    }
    return {
        'smplx_param': {k: params[v][row].tolist() for k, v in names.items()},
        'cam_param': {
            'focal': camera[:2].tolist(),
            'princpt': camera[2:].tolist(),
        },
    }


def coco(root, rng, models):
    """Two pictures; a crowd, and one person without a fit."""
    truth, camera = Truth(), np.array([500.0, 500.0, 320.0, 240.0])
    params = sample_params(rng, 4)
    joints = smplx_joints(params, models)
    images, people, fits = [], [], {}
    for number in (9, 25):
        name = f'{number:012d}.jpg'
        image(root / 'train2017' / name, 480, 640)
        images.append(
            {'id': number, 'file_name': name, 'height': 480, 'width': 640}
        )
    for row, number in enumerate((25, 9, 25, 9)):
        truth.add(f'train2017/{number:012d}.jpg', joints[row], camera)
        pixels = joints[row, :, :2] / joints[row, :, 2:] * 500 + (320, 240)
        people.append(
            {'id': 100 + row, 'image_id': number, **_whole_body(pixels, rng)}
        )
        if row < 3:
            fits[str(100 + row)] = _neural_annot(params, row, camera)
    people[0]['lefthand_valid'] = False
    people[0]['keypoints'][2] = 1  # the nose is occluded
    crowd = {'id': 999, 'image_id': 9, 'iscrowd': 1, 'bbox': [0, 0, 90, 90]}
    folder = root / 'annotations'
    folder.mkdir()
    (folder / 'coco_wholebody_train_v1.0.json').write_text(
        json.dumps({'images': images, 'annotations': [*people, crowd]})
    )
    (folder / 'MSCOCO_train_SMPLX.json').write_text(json.dumps(fits))
    return truth


def ubody(root, rng, models):
    """One scene: two videos, one of them for tests; people to leave out."""
    truth, camera = Truth(), np.array([700.0, 700.0, 320.0, 180.0])
    scene, videos = 'Speech', ('talk_Trim1', 'quiz_Trim4')
    images, people, fits = [], [], {}
    params = sample_params(rng, 8)
    joints = smplx_joints(params, models)
    for number in range(4):
        name = f'{videos[number // 2]}/{number:06d}.png'
        image(root / 'images' / scene / name, 360, 640)
        images.append(
            {'id': number, 'file_name': name, 'height': 360, 'width': 640}
        )
    for row in range(8):
        pixels = joints[row, :, :2] / joints[row, :, 2:] * 700 + (320, 180)
        person = {
            'id': row,
            'image_id': row // 2,
            'valid_label': 2,
            **_whole_body(pixels, rng),
        }
        people.append(person)
        fits[str(row)] = _neural_annot(params, row, camera)
        truth.add(
            f'{scene}/{images[row // 2]["file_name"]}', joints[row], camera
        )
    people[1]['valid_label'] = 0
    people[2]['iscrowd'] = 1
    people[3]['face_valid'] = False
    people.append({**people[0], 'id': 50})  # annotated twice
    fits['50'] = fits['0']
    folder = root / 'annotations' / scene
    folder.mkdir(parents=True)
    (folder / 'keypoint_annotation.json').write_text(
        json.dumps({'images': images, 'annotations': people})
    )
    (folder / 'smplx_annotation.json').write_text(json.dumps(fits))
    (root / 'splits').mkdir()
    for protocol in ('intra', 'inter'):
        file = root / 'splits' / f'{protocol}_scene_test_list.npy'
        np.save(file, np.array(['quiz']))
    return truth


def arctic(root, rng, models):
    """One sequence of five frames, seen by eight cameras; ten betas."""
    truth, offset = Truth(), 12
    params = sample_params(rng, 5)
    params['betas'][:] = params['betas'][0]
    params['expression'][:] = 0
    joints = smplx_joints(params, models, 'female', True)
    # What the subject is known by: a mesh, somewhere.
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
        # Every camera looks at the people from where the first one does,
        # turned a little.
        turn = np.eye(4)
        turn[:3, :3] = to_matrix(rng.normal(0, 0.02, 3))
        world = turn @ (motion if camera == 0 else worlds[0])
        if camera == 0:
            world = motion
        worlds.append(world)
        matrices.append(np.array([[400.0, 0, 140], [0, 400, 100], [0, 0, 1]]))
        seen = in_world @ world[:3, :3].T + world[:3, 3]
        for frame in range(5):
            name = f's05/box_use_01/{camera + 1}/{frame + offset:05d}.jpg'
            image(root / 'images' / name, 200, 280)
            truth.add(name, seen[frame], np.array([400, 400, 140, 100]))
    image(root / 'images/s05/box_use_01/1/00099.jpg', 200, 280)
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


def egobody(root, rng, models):
    """One recording of three frames; the last has no fit."""
    truth, name, date = Truth(), 'recording_1', '2021-09-07-1'
    camera = np.array([1450.0, 1450.0, 960.0, 540.0])
    params = sample_params(rng, 3)
    arrays = _arrays(models, 'male')
    for side in ('left', 'right'):
        # twelve PCA coefficients, as released
        coefficients = rng.normal(0, 0.3, (3, 12))
        components = arrays[f'hands_components{side[0]}'][:12]
        params[f'{side}_hand_pose'] = coefficients @ components
        params[f'{side}_pca'] = coefficients
    joints = smplx_joints(params, models, 'male')
    holo_to_kinect = random_motion(rng)
    kinect_to_holo = np.linalg.inv(holo_to_kinect)
    to_opencv = np.diag((1.0, -1, -1, 1))
    lines = ['960,540,1920,1080']
    images = root / f'egocentric_color/{name}/{date}'
    for frame in range(3):
        # kinect -> holo world -> headset (OpenGL) -> OpenCV
        pv_to_world = random_motion(rng)
        motion = to_opencv @ np.linalg.inv(pv_to_world) @ kinect_to_holo
        one = rows_of(params, frame)
        back = move_back(one, joints[frame : frame + 1], motion)
        stamp = 1320000 + frame
        values = ','.join(f'{v:.10f}' for v in pv_to_world.ravel())
        lines.append(f'{stamp},1450,1450,{values}')
        label = f'frame_{frame + 100:05d}'
        image(images / 'PV' / f'{stamp}_{label}.jpg', 1080, 1920)
        if frame == 2:
            continue
        path = images.relative_to(root) / 'PV' / f'{stamp}_{label}.jpg'
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
    folder = root / f'calibrations/{name}/cal_trans'
    folder.mkdir(parents=True)
    (folder / 'holo_to_kinect12.json').write_text(
        json.dumps({'trans': holo_to_kinect.tolist()})
    )
    (root / 'data_splits.csv').write_text(f'train,val,test\n{name},other,\n')
    (root / 'data_info_release.csv').write_text(
        'scene_name,recording_name,body_idx_0,body_idx_1,body_idx_fpv\n'
        f'seminar,{name},0 female,1 male,1 male\n'
    )
    return truth


def ehf(root, rng, models, binary=True):
    """Two meshes in the frame of the scan."""
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
    camera = np.array([*release.FOCAL, *release.CENTRE])
    for row in range(2):
        stem = f'{row + 1:02d}'
        image(root / f'{stem}_img.png', 1200, 1600)
        write_ply(root / f'{stem}_align.ply', scan[row], binary)
        truth.add(f'{stem}_img.png', joints[row], camera)
    folder = root / 'fitted_params'
    folder.mkdir()
    np.savez(folder / '01_align.npz', **rows_of(params, 0))
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


def agora(root, rng, models, with_template=True):
    """Two pictures with two people each, one of them a child."""
    truth, names = Truth(), ('ag_a_00000', 'ag_b_00001')
    focal, small = 3733.3, (2160, 3840)
    camera = np.array([focal, focal, small[1] / 2, small[0] / 2])
    template = root / 'smplx_kid_template.npy'
    adult = _arrays(models, 'neutral')['v_template']
    np.save(template, adult * 0.6 + (0.1, 0.2, 0.3))
    rows = {key: [] for key in AGORA_COLUMNS}
    for index, name in enumerate(names):
        image(root / f'1280x720/train_0/{name}_1280x720.png', 720, 1280)
        image(root / f'3840x2160/train_0/{name}.png', 2160, 3840)
        cells = {key: [] for key in AGORA_COLUMNS}
        for k in range(2):
            kid = (index, k) == (1, 0)
            gender = ('male', 'female')[k]
            params = sample_params(rng, 1, betas=11 if kid else 10)
            model = models
            if kid:
                params['betas'][0, 10] = 0.7
                model = kid_model(models, gender, str(template))
            joints = smplx_joints(params, model, gender)[0]
            path = f'3840x2160/train_0/{name}.png'
            truth.add(path, joints, camera)
            back = move_back(params, joints[None], random_motion(rng))
            _, pixels = truth.people[path][-1]
            fit = f'smplx_gt/trainset/{name}_{k}.obj'
            file = (root / fit).with_suffix('.pkl')
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, 'wb') as stream:
                pickle.dump(back, stream, protocol=2)
            cells['gender'].append(gender)
            cells['kid'].append(kid)
            cells['occlusion'].append((5.0, 98.5)[k])
            cells['isValid'].append(k == 0)
            cells['gt_path_smplx'].append(fit)
            cells['gt_joints_2d'].append(pixels[:127])
            cells['gt_joints_3d'].append(joints[:127])
        for key, cell in cells.items():
            rows[key].append(f'{name}.png' if key == 'imgPath' else cell)
    if not with_template:
        template.unlink()
    (root / 'SMPLX').mkdir()
    dump_dataframe(root / 'SMPLX/train_0_withjv.pkl', rows)
    return truth


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


# Name: writer, converter, split, data set, folder of pictures.
RELEASES = {
    'agora': (agora, AGORAConverter, 'train', AGORADataset, ''),
    'bedlam': (
        bedlam,
        BEDLAMConverter,
        'train',
        BEDLAMDataset,
        'train_images',
    ),
    'coco': (coco, COCOConverter, 'train', COCONADataset, ''),
    'ubody': (ubody, UBodyConverter, 'train', UBodyDataset, 'images'),
    'arctic': (
        arctic,
        ARCTICConverter,
        'val',
        ARCTICDataset,
        'images',
    ),
    'egobody': (
        egobody,
        EgoBodyConverter,
        'train',
        EgoBodyDataset,
        '',
    ),
    'ehf': (ehf, EHFConverter, 'test', EHFDataset, ''),
}
