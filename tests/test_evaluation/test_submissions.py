# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Submissions: complete, the same every time, taken by the servers."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
from toy_agora import NAMES, OTHER, load_tool
from toy_persons import numbers_of

from aios.evaluation.agora import check_person, parse_name
from aios.evaluation.agora.layout import PARAMETERS
from aios.evaluation.metrics import AGORASubmission, BEDLAMSubmission
from aios.utils.portable_pickle import dump_pickle
from aios.utils.safe_io import load_pickle


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'run' / 'submission'


@pytest.fixture
def check(capsys):
    """Output of the format checker, and its exit status."""
    tool = load_tool('misc/check_submission')

    def run(path, *options):
        capsys.readouterr()
        status = tool.main([str(path), *options])
        return status, capsys.readouterr().out

    return run


def bedlam(sample, number):
    """The same persons in an image of BEDLAM."""
    path = f'test_images/scene_{number}/png/seq_07/seq_07_0005.png'
    return {**sample, 'img_path': path, 'ori_shape': (720, 1280)}


def test_agora(toy, out, check):
    assert numbers_of(AGORASubmission(str(out)), toy.samples()) == {
        'images': 4,
        'images-without-persons': 1,
        'persons': 5,
        'predictions-not-finite': 0,
    }
    assert sorted(p.name for p in out.iterdir()) == [
        'predictions',
        'predictions.zip',
        'scores.json',
    ]
    names = [f'{NAMES[0]}_personId_{k}.pkl' for k in (0, 1)]
    names += [f'{NAMES[1]}_personId_{k}.pkl' for k in (0, 1)]
    names += [f'{OTHER}_personId_0.pkl']
    files = sorted(p.name for p in (out / 'predictions').iterdir())
    assert files == sorted(names)
    archive = zipfile.ZipFile(out / 'predictions.zip')
    assert archive.namelist()[0] == 'predictions/'
    assert archive.namelist()[1:] == [f'predictions/{n}' for n in files]
    for name in files:
        data = (out / 'predictions' / name).read_bytes()
        assert archive.read(f'predictions/{name}') == data
        assert b'_core' not in data
    # As the server finds the image again.
    assert '_'.join(names[0].split('_')[:-2]) == NAMES[0]
    scores = json.loads((out / 'scores.json').read_text())
    assert scores[names[1]] == pytest.approx(0.8)
    assert check(out / 'predictions.zip') == (
        0,
        '5 persons of 3 images, no faults\n',
    )
    assert check(out)[0] == 0


def test_content_of_parameters(toy, out):
    numbers_of(AGORASubmission(str(out)), toy.samples())
    person = load_pickle(out / f'predictions/{NAMES[0]}_personId_1.pkl')
    assert set(person) == {'joints', 'params'}
    shapes = {k: v.shape for k, v in person['params'].items()}
    assert shapes == {
        'transl': (1, 3),
        'betas': (1, 10),
        'expression': (1, 10),
        'global_orient': (1, 3),
        'body_pose': (1, 63),
        'left_hand_pose': (1, 45),
        'right_hand_pose': (1, 45),
        'leye_pose': (1, 3),
        'reye_pose': (1, 3),
        'jaw_pose': (1, 3),
    }
    crowd = toy.crowds[NAMES[0]]
    pose = person['params']['body_pose'][0]
    np.testing.assert_array_equal(pose, crowd.params['body_pose'][2])
    assert not person['params']['leye_pose'].any()
    np.testing.assert_array_equal(
        person['joints'], crowd.points[2, :24].astype(np.float32)
    )
    assert person['joints'].dtype == np.float32
    # What plain Python reads, as the server does.
    data = (out / f'predictions/{NAMES[0]}_personId_1.pkl').read_bytes()
    plain = pickle.loads(data)
    np.testing.assert_array_equal(plain['joints'], person['joints'])


def test_small_images_have_large_keypoints(toy, tmp_path):
    for name, size in (('large', (2160, 3840)), ('small', (720, 1280))):
        metric = AGORASubmission(str(tmp_path / name))
        numbers_of(metric, toy.samples(size))
    file = f'predictions/{NAMES[0]}_personId_0.pkl'
    large, small = (
        load_pickle(tmp_path / n / file) for n in ('large', 'small')
    )
    np.testing.assert_allclose(small['joints'], large['joints'], rtol=1e-5)


def test_persons_are_numbered_by_score(toy, out):
    sample = toy.sample(NAMES[0])
    persons = sample['pred_instances']
    persons.scores[:] = persons.scores[[1, 2, 0]]  # 0.8, 0.7, 0.9
    numbers_of(AGORASubmission(str(out), score_thr=0.75), [sample])
    joints = [
        load_pickle(out / f'predictions/{NAMES[0]}_personId_{k}.pkl')['joints']
        for k in (0, 1)
    ]
    points = toy.crowds[NAMES[0]].points.astype(np.float32)
    np.testing.assert_array_equal(joints[0], points[2, :24])
    np.testing.assert_array_equal(joints[1], points[0, :24])
    assert len([*(out / 'predictions').iterdir()]) == 2


def test_bedlam(toy, out, check):
    samples = [bedlam(toy.sample(NAMES[0]), 0), bedlam(toy.sample(OTHER), 1)]
    assert numbers_of(BEDLAMSubmission(str(out)), samples)['persons'] == 4
    files = sorted(p.name for p in (out / 'predictions').iterdir())
    assert files == [
        *(f'scene_0_frameID_seq_07_0005_personId_{k}.pkl' for k in range(3)),
        'scene_1_frameID_seq_07_0005_personId_0.pkl',
    ]
    person = load_pickle(out / 'predictions' / files[1])
    assert set(person) == {'joints', 'verts', 'allSmplJoints3d'}
    crowd = toy.crowds[NAMES[0]]
    # Pixels of the image itself.
    np.testing.assert_array_equal(
        person['joints'], crowd.points[1, :24].astype(np.float32)
    )
    np.testing.assert_array_equal(person['verts'], crowd.vertices[1])
    np.testing.assert_array_equal(
        person['allSmplJoints3d'], crowd.joints[1, :127]
    )
    archive = out / 'predictions.zip'
    assert check(archive, '--benchmark', 'bedlam')[0] == 0
    # AGORA's server takes meshes, too.
    assert check(archive)[0] == 0


@pytest.mark.parametrize('path', ['a/b.png', 'scene/jpg/seq/0.png'])
def test_bedlam_images_lie_somewhere_else(toy, out, path):
    metric = BEDLAMSubmission(str(out))
    with pytest.raises(ValueError, match='<scene>/png/<sequence>'):
        metric.process(None, [dict(toy.sample(NAMES[0]), img_path=path)])


def test_same_bytes_every_time(toy, tmp_path):
    archives = []
    for name, step in (('a', 1), ('b', -1)):
        metric = AGORASubmission(str(tmp_path / name), variant='verts')
        numbers_of(metric, toy.samples()[::step])
        archives.append((tmp_path / name / 'predictions.zip').read_bytes())
    assert archives[0] == archives[1]
    assert len(archives[0]) > 1e5


def test_never_mixed_with_older_files(toy, out):
    numbers_of(AGORASubmission(str(out)), toy.samples())
    with pytest.raises(FileExistsError, match='overwrite=True'):
        AGORASubmission(str(out))
    metric = AGORASubmission(str(out), overwrite=True)
    numbers_of(metric, [toy.sample(NAMES[1], [0])])
    files = [p.name for p in (out / 'predictions').iterdir()]
    assert files == [f'{NAMES[1]}_personId_0.pkl']
    archive = zipfile.ZipFile(out / 'predictions.zip')
    assert len(archive.namelist()) == 2
    assert [*out.parent.iterdir()] == [out]


def test_other_folders_are_never_replaced(toy, out):
    out.mkdir(parents=True)
    (out / 'thesis.tex').write_text('precious')
    with pytest.raises(FileExistsError, match='thesis.tex'):
        AGORASubmission(str(out), overwrite=True)
    assert (out / 'thesis.tex').is_file()


def test_nothing_is_left_of_a_broken_run(toy, out):
    metric = AGORASubmission(str(out))
    metric.process(None, toy.samples()[:2])
    bad = toy.sample(OTHER)
    persons = bad['pred_instances']
    persons.smplx_betas = persons.smplx_betas[:, :9]
    with pytest.raises(ValueError, match=r'd_00004_personId_0.* \(1, 9\)'):
        metric.process(None, [bad])
    assert not out.exists()
    del metric
    assert not [*out.parent.iterdir()]


@pytest.mark.parametrize('field', ['scores', 'joints2d', 'smplx_jaw_pose'])
def test_broken_predictions_are_left_out_and_counted(toy, out, check, field):
    samples = toy.samples()
    samples[0]['pred_instances'][field][0] = float('nan')
    counts = numbers_of(AGORASubmission(str(out)), samples)
    assert counts['persons'] == 4
    assert counts['predictions-not-finite'] == 1
    # The next best is the first.
    files = {p.name for p in (out / 'predictions').iterdir()}
    assert f'{NAMES[0]}_personId_0.pkl' in files
    assert check(out)[0] == 0


def test_metric_can_be_used_again(toy, out):
    metric = AGORASubmission(str(out), overwrite=True)
    for _ in range(2):
        assert numbers_of(metric, toy.samples())['persons'] == 5


def test_repeated_image_counts_once(toy, out):
    samples = [*toy.samples(), toy.samples()[0]]
    assert numbers_of(AGORASubmission(str(out)), samples)['persons'] == 5


def test_two_images_of_one_name_are_refused(toy, out):
    samples = [toy.sample(NAMES[0]), toy.sample(NAMES[0], size=(720, 1280))]
    with pytest.raises(ValueError, match='have the same submission name'):
        numbers_of(AGORASubmission(str(out)), samples)
    assert not out.exists()


def test_bad_options(toy, out):
    with pytest.raises(ValueError, match="must be one of .'params', 'verts'"):
        AGORASubmission(str(out), variant='mesh')
    sample = toy.sample(NAMES[0])
    del sample['pred_instances'].vertices
    metric = AGORASubmission(str(out), variant='verts')
    with pytest.raises(ValueError, match='with_vertices'):
        metric.process(None, [sample])


# -- the checker ---------------------------------------------------------


def person(**changes):
    content = {
        'joints': np.zeros((24, 2), np.float32),
        'params': {
            name: np.zeros((1, 3 * triples or 10))
            for name, triples in PARAMETERS.items()
        },
    }
    for name, value in changes.items():
        place = content['params'] if name in content['params'] else content
        if value is None:
            del place[name]
        else:
            place[name] = value
    return content


MATRICES = {
    name: np.zeros((1, triples, 3, 3))
    for name, triples in PARAMETERS.items()
    if triples and name != 'transl'
}


@pytest.mark.parametrize(
    'content',
    [
        person(),
        person(gender='male'),
        person(kid_flag=True, betas=np.zeros((1, 11))),
        person(num_betas=300 - 1, betas=np.zeros((1, 299))),
        person(pose2rot=False, **MATRICES),
        {
            'joints': np.zeros((24, 2)),
            'verts': np.zeros((10475, 3)),
            'allSmplJoints3d': np.zeros((127, 3)),
        },
        {  # as samples of AGORA's tool
            'age': 'adult',
            'joints': np.zeros((144, 3)),
            'verts': np.zeros((1, 10475, 3)),
            'allSmplJoints3d': np.zeros((144, 3)),
        },
    ],
)
def test_good_content(content):
    assert check_person(content) == []


@pytest.mark.parametrize(
    ('content', 'fault'),
    [
        ([], 'holds a list'),
        (person(joints=None), 'joints is missing'),
        (person(joints=np.zeros((23, 2))), 'must be (24 or more, 2 or 3)'),
        (person(joints=np.full((24, 2), 1e200)), 'joints is not finite'),
        (person(joints=[[0, 0]] * 24), 'joints is a list'),
        (person(joints=np.full((24, 2), np.inf)), 'joints is not finite'),
        (person(joints=np.zeros((24, 2), int)), 'joints is a int64'),
        (person(joints=np.zeros((24, 2), 'f2')), 'joints is a float16'),
        (person(joints=np.zeros((24, 2), object)), 'joints is a object'),
        (person(verts=np.zeros((10475, 3))), "unknown keys ['verts']"),
        (person(body_pose=np.zeros((21, 3))), 'body_pose has shape (21, 3)'),
        (person(body_pose=np.zeros((1, 63), 'U1')), 'body_pose is a <U1'),
        (person(jaw_pose=None), 'jaw_pose is missing'),
        (person(gender='unknown'), "gender is 'unknown'"),
        (person(kid_flag=1), 'kid_flag is 1'),
        (person(kid_flag=True), 'betas has shape (1, 10), must be (1, 11)'),
        (person(num_betas=300), 'num_betas is 300'),
        (person(num_betas='10'), "num_betas is '10'"),
        (person(kid_flag=True, num_betas=12), 'must be 11 with kid_flag'),
        (person(pose2rot=False), 'must be (1, 21, 3, 3)'),
        (person(height=2), "unknown keys ['height']"),
        (dict(person(), params=0), 'params is a int'),
        ({'joints': np.zeros((24, 2))}, 'verts is missing'),
    ],
)
def test_bad_content(content, fault):
    assert fault in '; '.join(check_person(content))


def test_bedlam_takes_no_parameters():
    assert 'write verts' in check_person(person(), 'bedlam')[0]


def test_names():
    assert parse_name('ag_x_01_personId_12.pkl') == ('ag_x_01', 12)
    name = 'sc_a_frameID_seq_1_0005_personId_3.pkl'
    assert parse_name(name, 'bedlam') == ('sc_a_frameID_seq_1_0005', 3)
    for name in ('ag_x_01.pkl', 'ag_personId_x.pkl', '_personId_1.pkl'):
        with pytest.raises(ValueError, match='the file name must be'):
            parse_name(name)
    with pytest.raises(ValueError, match='<scene>_frameID_'):
        parse_name('ag_x_01_personId_12.pkl', 'bedlam')
    # The server finds no image of that name.
    with pytest.raises(ValueError, match='image at 3840 x 2160, without'):
        parse_name('ag_x_01_1280x720_personId_0.pkl')


def test_checker_names_faults(tmp_path, check):
    folder = tmp_path / 'predictions'
    dump_pickle(folder / 'a_personId_0.pkl', person(gender='x'))
    dump_pickle(folder / 'a_personId_2.pkl', person())
    dump_pickle(folder / 'b.pkl', person())
    (folder / 'c_personId_0.pkl').write_bytes(b'cos\nsystem\n(S"x"\ntR.')
    (folder / 'readme.txt').write_text('x')
    (folder / 'e_personId_0.pkl').mkdir()
    (folder / 'f_personId_0.pkl').symlink_to('/dev/zero')
    (folder / 'g_personId_0.pkl').symlink_to('nowhere.pkl')
    with open(folder / 'd_personId_0.pkl', 'wb') as file:
        pickle.dump({**person(), 'joints': b'numpy._core'}, file)
    status, out = check(folder)
    assert status == 1
    assert "a_personId_0.pkl: gender is 'x'" in out
    assert 'a: persons are numbered [0, 2], not from 0' in out
    assert 'b.pkl: the file name must be' in out
    assert 'c_personId_0.pkl' in out
    assert 'readme.txt' in out
    assert 'servers with NumPy 1' in out
    for name in 'efg':
        assert f'{name}_personId_0.pkl is not a file' in out
    _, short = check(folder, '--max-faults', '1')
    assert '... and' in short


def test_checker_wants_the_folder_in_the_archive(tmp_path, check):
    dump_pickle(tmp_path / 'a_personId_0.pkl', person())
    with zipfile.ZipFile(tmp_path / 'flat.zip', 'w') as archive:
        archive.write(tmp_path / 'a_personId_0.pkl', 'a_personId_0.pkl')
    status, out = check(tmp_path / 'flat.zip')
    assert status == 1
    assert 'must be in the folder predictions/' in out


def test_checker_wants_each_person_once(tmp_path, check):
    dump_pickle(tmp_path / 'a.pkl', person())
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
        for name in ('a_personId_0', 'a_personId_00', 'sub/a_personId_1'):
            archive.write(tmp_path / 'a.pkl', f'predictions/{name}.pkl')
    status, out = check(tmp_path / 'x.zip')
    assert status == 1
    assert 'a: persons are numbered [0, 0], not from 0' in out
    assert 'sub/a_personId_1.pkl: must be in the folder' in out


@pytest.mark.parametrize('content', [None, b'', b'PK nothing', 'folder'])
def test_no_submission(tmp_path, capsys, content):
    path = tmp_path / 'x.zip'
    if content == 'folder':
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    status = load_tool('misc/check_submission').main([str(path)])
    assert status == 2
    assert 'error: ' in capsys.readouterr().err


def test_damaged_archive(tmp_path, toy, check):
    numbers_of(AGORASubmission(str(tmp_path / 'x')), toy.samples())
    path = tmp_path / 'x/predictions.zip'
    data = bytearray(path.read_bytes())
    data[400:450] = bytes(50)
    path.write_bytes(data)
    status, out = check(path)
    assert status == 1
    assert 'cannot be read' in out
