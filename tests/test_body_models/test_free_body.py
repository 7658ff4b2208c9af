# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The free body: file format, symmetry, anatomy, expansion."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from aios.body_models import SMPLXLayer
from aios.body_models import free_body as module
from aios.body_models.free_body import (
    FREE_BODY_GENDERS,
    FREE_BODY_VERSION,
    expand_free_body,
    free_body_arrays,
    free_body_dir,
)
from aios.structures import SMPLX_55, SMPLX_144

V, F, J = 10475, 20908, 55
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
EYES = {'left': slice(9383, 9929), 'right': slice(9929, V)}
TIPS = {'thumb': 5361, 'index': 4933, 'middle': 5058, 'ring': 5169}
TIPS['pinky'] = 5286


@pytest.fixture(scope='module', params=FREE_BODY_GENDERS)
def body(request) -> dict[str, np.ndarray]:
    return free_body_arrays(request.param)


@pytest.fixture(scope='module')
def neutral() -> dict[str, np.ndarray]:
    return free_body_arrays('neutral')


@pytest.fixture(scope='module')
def layer(free_body_dir: Path) -> SMPLXLayer:
    return SMPLXLayer(free_body_dir, flat_hand_mean=True)


def joint(name: str) -> int:
    return SMPLX_55.index(name)


def body_pose(**rotations: tuple[float, float, float]) -> torch.Tensor:
    pose = torch.zeros(1, 21, 3)
    for name, vector in rotations.items():
        pose[0, joint(name) - 1] = torch.tensor(vector)
    return pose


def mirror_of(vertices: np.ndarray) -> np.ndarray:
    distance, index = cKDTree(vertices).query(vertices * MIRROR)
    assert distance.max() == 0
    return index


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


class TestFormat:
    def test_direction_columns(self, body):
        used = np.abs(body['shapedirs']).max((0, 1)) > 0
        expected = [*range(10), *range(300, 310)]
        assert np.flatnonzero(used).tolist() == expected

    def test_weights_are_convex_and_few(self, body):
        for key in ('weights', 'J_regressor'):
            assert (body[key] >= 0).all()
            assert (body[key].astype(float).sum(1) == 1).all()
        assert (body['weights'] > 0).sum(1).max() <= 8

    def test_says_what_it_is_without_pickles(self, free_body_dir):
        path = free_body_dir / 'smplx' / 'SMPLX_MALE.npz'
        with np.load(path, allow_pickle=False) as model:
            arrays = {key: model[key] for key in model.files}
        assert bool(arrays['is_free_body'])
        assert str(arrays['license']) == 'CC0-1.0'
        assert 'MakeHuman' in str(arrays['credits'])
        assert 'not the SMPL-X model' in str(arrays['notes'])
        assert str(arrays['free_body_version']) == FREE_BODY_VERSION


class TestMesh:
    def test_every_edge_has_two_faces_but_at_the_tongue(self, neutral):
        faces = neutral['f'].astype(np.int64)
        edges = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
        # Consistent winding: no directed edge occurs twice.
        assert len(np.unique(edges, axis=0)) == len(edges)
        unique, count = np.unique(
            np.sort(edges, 1), axis=0, return_counts=True
        )
        border = np.unique(unique[count == 1])
        assert len(border) == 20
        names = neutral['vertex_part_names'][neutral['vertex_parts'][border]]
        assert set(names) == {'tongue'}
        assert len(np.unique(faces)) == V

    def test_normals_point_outwards(self, body):
        litres = 1000 * volume(body['v_template'], body['f'])
        assert 45 < litres < 85

    def test_exact_symmetry(self, body):
        mirror = mirror_of(body['v_template'])
        swap = SMPLX_55.flip_permutation
        shape = body['shapedirs'][..., :10]
        assert (shape[mirror] * MIRROR[:, None] == shape).all()
        assert (body['weights'][mirror][:, swap] == body['weights']).all()
        regressor = body['J_regressor'][swap][:, mirror]
        assert (regressor == body['J_regressor']).all()
        faces = {frozenset(face) for face in body['f'].tolist()}
        mirrored = {frozenset(f) for f in mirror[body['f']].tolist()}
        # Quads that cross the middle of an eyeball are cut differently.
        different = faces - mirrored
        assert all(min(face) >= EYES['left'].start for face in different)

    def test_parts(self, body):
        names = body['vertex_part_names'][body['vertex_parts']]
        assert {'skin', 'eye', 'teeth', 'tongue', 'mouth'} == set(names)
        assert (names[EYES['left'].start :] == 'eye').all()

    def test_eyeballs_are_round_and_move_with_their_joint(self, body):
        joints = body['J_regressor'] @ body['v_template']
        for side, place in EYES.items():
            index = joint(f'{side}_eyeball')
            offset = body['v_template'][place] - joints[index]
            radius = np.linalg.norm(offset, axis=1)
            assert np.ptp(radius) < 5e-5
            assert 0.009 < radius.mean() < 0.016
            assert (body['weights'][place, index] == 1).all()


class TestAnatomy:
    def test_stature(self):
        heights = {
            gender: np.ptp(free_body_arrays(gender)['v_template'][:, 1])
            for gender in FREE_BODY_GENDERS
        }
        assert 1.55 < heights['female'] < heights['neutral']
        assert heights['neutral'] < heights['male'] < 1.85

    def test_key_vertices(self, body):
        template = body['v_template']
        joints = body['J_regressor'] @ template
        x, _, z = template.T
        assert x[9120] == 0
        assert z[9120] == z[template[:, 1] > joints[joint('neck'), 1]].max()
        assert z[9448] == z[EYES['left']].max()
        assert z[9929] == z[EYES['right']].max()
        assert x[6] > 0.06
        assert x[616] == -x[6]
        for name, tip in TIPS.items():
            last = joints[joint(f'left_{name}_3')]
            before = joints[joint(f'left_{name}_2')]
            direction = (last - before) / np.linalg.norm(last - before)
            reach = (template[tip] - last) @ direction
            assert 0.01 < reach < 0.04
        foot = [5770, 5780, 8846]  # big toe, small toe, heel
        assert z[foot[0]] > z[foot[1]] > z[foot[2]]
        assert x[foot[1]] > x[foot[0]] > 0

    def test_shape_directions_are_orthogonal_and_visible(self, body):
        flat = body['shapedirs'][..., :10].reshape(-1, 10).astype(float)
        rms_cm = 100 * np.sqrt((flat**2).sum(0) / V)
        assert rms_cm.min() > 0.24
        unit = flat / np.linalg.norm(flat, axis=0)
        cosine = unit.T @ unit - np.eye(10)
        assert np.abs(cosine).max() < 0.01

    @pytest.mark.parametrize('gender', FREE_BODY_GENDERS)
    def test_meaning_of_shape(self, gender):
        """The named directions do what their names say."""
        arrays = free_body_arrays(gender)

        def measured(index: int) -> np.ndarray:
            values = []
            for sign in (-1, 1):
                change = sign * arrays['shapedirs'][..., index]
                vertices = arrays['v_template'] + change
                joints = arrays['J_regressor'] @ vertices
                leg = joints[joint('left_hip')] - joints[joint('left_ankle')]
                arm = joints[joint('left_wrist')]
                arm = arm - joints[joint('left_shoulder')]
                values.append(
                    (
                        np.ptp(vertices[:, 1]),
                        1000 * volume(vertices, arrays['f']),
                        leg[1],
                        arm[0],
                        joints[joint('left_shoulder'), 0],
                    )
                )
            return values[1] - np.array(values[0])

        stature, litres, leg, arm, shoulder = range(5)
        assert measured(0)[stature] > 0.1
        assert measured(1)[litres] > 8
        assert measured(3)[leg] > 0.06
        assert measured(4)[arm] > 0.04
        assert measured(6)[shoulder] > 0.02

    def test_expressions_stay_in_the_face(self, neutral):
        expressions = neutral['shapedirs'][..., 300:310]
        moved = np.abs(expressions).max((1, 2)) > 0
        head = ('neck', 'head', 'jaw', 'left_eyeball', 'right_eyeball')
        owner = neutral['weights'].argmax(1)
        assert np.isin(owner[moved], [joint(n) for n in head]).all()
        assert (np.abs(expressions).max((0, 1)) > 0.0015).all()

    def test_correctives_leave_jaw_and_eyes_alone(self, neutral):
        for name in ('jaw', 'left_eyeball', 'right_eyeball'):
            first = 9 * (joint(name) - 1)
            assert not neutral['posedirs'][..., first : first + 9].any()

    def test_landmarks_are_where_they_belong(self, neutral):
        corners = neutral['v_template'][neutral['f'][neutral['lmk_faces_idx']]]
        points = (corners * neutral['lmk_bary_coords'][..., None]).sum(1)
        nose = neutral['v_template'][9120]
        swap = [*range(9, -1, -1), *range(10, 14), *range(18, 13, -1)]
        assert np.allclose(points[swap] * MIRROR, points[:19], atol=1e-3)
        bridge = points[10:14]
        assert np.abs(bridge[:, 0]).max() < 1e-3
        assert np.linalg.norm(bridge[3] - nose) < 0.005
        mouth, eyes = points[31:], points[19:31]
        assert mouth[:, 1].max() < nose[1] < eyes[:, 1].min()


class TestPosing:
    def test_signs(self, layer):
        """Rotations mean what they mean in SMPL-X."""

        def moved(name: str, **pose) -> np.ndarray:
            index = SMPLX_144.index(name)
            posed = layer(body_pose=body_pose(**pose)).joints[0, index]
            return (posed - layer().joints[0, index]).numpy()

        x, y, z = range(3)
        assert moved('left_wrist', left_shoulder=(0, 0, -1.2))[y] < -0.3
        assert moved('right_wrist', right_shoulder=(0, 0, 1.2))[y] < -0.3
        assert moved('left_wrist', left_elbow=(0, -1.5, 0))[z] > 0.2
        assert moved('left_ankle', left_knee=(1.5, 0, 0))[z] < -0.3
        assert moved('left_ankle', left_hip=(-1.5, 0, 0))[z] > 0.6
        assert moved('left_wrist', left_elbow=(0, 0, 1.0))[x] < -0.05

    def test_fingers_curl_towards_the_palm(self, layer):
        curl = torch.zeros(1, 15, 3)
        curl[:, (0, 3, 6, 9), 2] = -1.0  # at the knuckles
        rest = layer().vertices[0]
        left = layer(left_hand_pose=curl).vertices[0]
        right = layer(
            right_hand_pose=curl * torch.tensor([1.0, -1, -1])
        ).vertices[0]
        for name in ('index', 'middle', 'ring', 'pinky'):
            assert left[TIPS[name], 1] < rest[TIPS[name], 1] - 0.03
        assert right[7669, 1] < rest[7669, 1] - 0.03

    def test_open_jaw_keeps_the_upper_lip(self, layer):
        jaw = torch.tensor([[0.3, 0.0, 0.0]])
        change = (layer(jaw_pose=jaw).joints - layer().joints)[0]
        upper, lower = 76 + 34, 76 + 40  # middle of the outer lips
        assert change[upper].norm() < 0.002
        assert change[lower, 1] < -0.015

    def test_mirrored_pose_gives_the_mirrored_body(self, layer):
        pose = body_pose(left_shoulder=(0.3, -0.5, -0.8), left_knee=(1, 0, 0))
        other = body_pose(right_shoulder=(0.3, 0.5, 0.8), right_knee=(1, 0, 0))
        mirror = mirror_of(layer.v_template.numpy())
        left = layer(body_pose=pose).vertices[0].numpy()
        right = layer(body_pose=other).vertices[0].numpy()
        assert np.allclose(right[mirror] * MIRROR, left, atol=1e-5)

    @pytest.mark.parametrize(
        'pose',
        [
            {'left_knee': (2.0, 0, 0)},
            {'left_elbow': (0, -2.0, 0)},
            {'left_shoulder': (0, 0, -1.3)},
            {'left_elbow': (1.0, 0, 0)},
        ],
        ids=lambda pose: next(iter(pose)),
    )
    def test_correctives_keep_joints_thick(self, layer, neutral, pose):
        """Skin at the joint stays away from it more than without them."""
        ((name, vector),) = pose.items()
        index = joint(name)
        parents = neutral['kintree_table'][0].tolist()
        below = [index]
        for child in range(index + 1, J):
            if parents[child] in below:
                below.append(child)
        share = neutral['weights'][:, below].sum(1)
        near = (share > 0.3) & (share < 0.7)
        rest = neutral['v_template'].astype(float)
        center = neutral['J_regressor'][index] @ rest
        offset = (rest - center)[near]
        turned = Rotation.from_rotvec(vector).apply(offset)
        part = share[near, None]
        plain = part * turned + (1 - part) * offset
        posed = layer(body_pose=body_pose(**pose)).vertices[0].numpy()

        def lost(moved: np.ndarray) -> float:
            length = np.linalg.norm(offset, axis=1)
            return float((1 - np.linalg.norm(moved, axis=1) / length).mean())

        assert abs(lost(posed[near] - center)) < 0.8 * lost(plain)


class TestExpansion:
    def test_default_folder_follows_the_environment(
        self, monkeypatch, tmp_path
    ):
        monkeypatch.setenv('AIOS_CACHE', str(tmp_path))
        assert free_body_dir() == tmp_path / f'free_body-{FREE_BODY_VERSION}'
        assert expand_free_body(genders=['male']) == free_body_dir()
        assert (free_body_dir() / 'smplx' / 'SMPLX_MALE.npz').is_file()

    def test_default_folder_that_cannot_be_written(
        self, monkeypatch, tmp_path
    ):
        (tmp_path / 'file').touch()
        monkeypatch.setenv('AIOS_CACHE', str(tmp_path / 'file'))
        with pytest.raises(OSError, match='set AIOS_CACHE to a folder'):
            expand_free_body()

    def test_default_folder_of_a_user_without_home(self, monkeypatch):
        def home() -> Path:
            raise RuntimeError('Could not determine home directory.')

        monkeypatch.delenv('AIOS_CACHE', raising=False)
        monkeypatch.setattr(Path, 'home', home)
        with pytest.raises(OSError, match='set AIOS_CACHE to a folder'):
            free_body_dir()

    def test_only_the_genders_asked_for(self, tmp_path):
        expand_free_body(tmp_path, genders=['female'])
        models = sorted(p.name for p in tmp_path.glob('smplx/*.npz'))
        assert models == ['SMPLX_FEMALE.npz']

    def test_unknown_gender(self, tmp_path):
        with pytest.raises(ValueError, match="'robot'; allowed: neutral"):
            expand_free_body(tmp_path, genders=['robot'])
        assert not any(tmp_path.iterdir())

    def test_same_bytes_everywhere(self, tmp_path):
        one, other = (
            expand_free_body(tmp_path / name, genders=['neutral'])
            for name in ('one', 'other')
        )
        for path in one.rglob('*.*'):
            copy = other / path.relative_to(one)
            assert path.read_bytes() == copy.read_bytes()

    def test_second_call_writes_no_model(self, tmp_path):
        expand_free_body(tmp_path, genders=['neutral'])
        model = tmp_path / 'smplx' / 'SMPLX_NEUTRAL.npz'
        os.utime(model, (1, 1))
        expand_free_body(tmp_path, genders=['neutral'])
        assert model.stat().st_mtime == 1

    @pytest.mark.parametrize('name', ['SMPLX_NEUTRAL.npz', 'SMPLX_to_J14.pkl'])
    def test_other_files_are_not_overwritten(self, tmp_path, name):
        path = tmp_path / 'smplx' / name
        path.parent.mkdir()
        path.write_bytes(b'the licensed one')
        with pytest.raises(FileExistsError, match=name):
            expand_free_body(tmp_path, genders=['neutral'])
        assert path.read_bytes() == b'the licensed one'
        assert list(path.parent.iterdir()) == [path]
        expand_free_body(tmp_path, genders=['neutral'], overwrite=True)
        assert path.read_bytes() != b'the licensed one'

    def test_damaged_models_in_the_cache_are_made_again(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setenv('AIOS_CACHE', str(tmp_path))
        model = expand_free_body(genders=['neutral']) / 'smplx'
        model /= 'SMPLX_NEUTRAL.npz'
        content = model.read_bytes()
        for damaged in (b'', b'a page of a proxy', content[:200_000]):
            model.write_bytes(damaged)
            expand_free_body(genders=['neutral'])
            assert model.read_bytes() == content
        np.savez(model, v_template=np.zeros(3))  # of another program
        with pytest.raises(FileExistsError, match='another file'):
            expand_free_body(genders=['neutral'])

    def test_other_version_is_named(self, tmp_path):
        path = tmp_path / 'smplx' / 'SMPLX_NEUTRAL.npz'
        path.parent.mkdir()
        np.savez(path, free_body_version='0.0')
        with pytest.raises(FileExistsError, match=r'version 0\.0'):
            expand_free_body(tmp_path, genders=['neutral'])

    def test_interrupted_write_leaves_nothing(self, monkeypatch, tmp_path):
        def full_disk(*_):
            raise OSError('no space left')

        monkeypatch.setattr(module.os, 'replace', full_disk)
        with pytest.raises(OSError, match='no space left'):
            expand_free_body(tmp_path, genders=['neutral'])
        assert [p for p in tmp_path.rglob('*') if p.is_file()] == []

    def test_several_processes_at_once(self, tmp_path):
        context = multiprocessing.get_context('fork')
        with context.Pool(3) as pool:
            folders = [(tmp_path, ['female'])] * 3
            pool.starmap(expand_free_body, folders)
        model = tmp_path / 'smplx' / 'SMPLX_FEMALE.npz'
        with np.load(model, allow_pickle=False) as arrays:
            assert arrays['v_template'].shape == (V, 3)
        names = {p.name for p in tmp_path.rglob('*') if p.is_file()}
        assert not any(name.startswith('.') for name in names)

    def test_vertex_ids(self, free_body_dir, neutral):
        folder = free_body_dir / 'smplx'
        hands = pickle.loads(
            (folder / 'MANO_SMPLX_vertex_ids.pkl').read_bytes()
        )
        template = neutral['v_template']
        mirror = mirror_of(template)
        left, right = hands['left_hand'], hands['right_hand']
        assert len(left) == len(right) == 778
        assert set(mirror[left]) == set(right)
        joints = neutral['J_regressor'] @ template
        assert template[left, 0].min() > joints[joint('left_wrist'), 0] - 0.05
        head = np.load(folder / 'SMPL-X__FLAME_vertex_ids.npy')
        assert len(np.unique(head)) == 5023
        assert template[head, 1].min() > joints[joint('spine_3'), 1]

    def test_j14(self, free_body_dir, neutral):
        content = (free_body_dir / 'smplx' / 'SMPLX_to_J14.pkl').read_bytes()
        regressor = pickle.loads(content)
        assert regressor.shape == (14, V)
        points = regressor @ neutral['v_template']
        joints = neutral['J_regressor'] @ neutral['v_template']
        assert np.allclose(points[0], joints[joint('right_ankle')], atol=1e-5)
        assert np.allclose(points[11], joints[joint('left_wrist')], atol=1e-5)
        top = neutral['v_template'][:, 1].max()
        assert points[13, 1] == pytest.approx(top, abs=0.005)

    def test_license_and_readme_come_along(self, free_body_dir):
        assert 'CC0 1.0' in (free_body_dir / 'LICENSE').read_text()
        readme = (free_body_dir / 'README.md').read_text()
        assert 'not the SMPL-X model' in readme
        assert 'not comparable' in readme
