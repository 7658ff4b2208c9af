# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Conversions that are interrupted, repeated, or given bad input."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_releases as releases
from toy_bodies import hide_files
from toy_releases import RELEASES

from aios.datasets import HumanData
from aios.datasets.converters import (
    BEDLAMConverter,
    COCOConverter,
    ConverterError,
    convert,
    run_command,
)
from aios.utils import locking
from aios.utils.run_folder import OtherSettingsError

FORK = multiprocessing.get_context('fork')


def _die_half_way(root, models, out):
    """As a killed process: half of a file is written, nothing cleaned."""
    torch.set_num_threads(1)  # OpenMP's threads do not survive the fork
    write, written = np.savez_compressed, []

    def half(stream, **arrays):
        write(stream, **arrays)
        if written:
            stream.truncate(stream.tell() // 2)
            stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(stream)

    np.savez_compressed = half
    convert(BEDLAMConverter(root, 'train', models), out)


def test_resume_after_kill(models, tmp_path):
    """The file is the same, byte for byte, as without the kill."""
    root = tmp_path / 'release'
    releases.bedlam(root, np.random.default_rng(3), models)
    whole, out = tmp_path / 'whole.npz', tmp_path / 'killed.npz'
    convert(BEDLAMConverter(root, 'train', models), whole)
    dying = FORK.Process(target=_die_half_way, args=(root, models, out))
    dying.start()
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL
    assert not out.exists()
    left = [p.name for p in out.with_suffix('.parts').iterdir()]
    assert any(name.endswith('.tmp') for name in left)
    summary = convert(BEDLAMConverter(root, 'train', models), out)
    assert summary.resumed == 1
    assert out.read_bytes() == whole.read_bytes()
    assert not out.with_suffix('.parts').exists()


def test_options_are_part_of_the_parts(models, tmp_path, monkeypatch):
    releases.bedlam(tmp_path, np.random.default_rng(3), models)
    out = tmp_path / 'bedlam.npz'

    def interrupted(self, unit):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BEDLAMConverter, 'convert', interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(BEDLAMConverter(tmp_path, 'train', models), out)
        argv = [str(tmp_path), '--out', str(out), '--body-models', models]
        with pytest.raises(SystemExit, match='run the same command again'):
            run_command(['bedlam', *argv])
    assert not out.exists()
    other = BEDLAMConverter(tmp_path, 'train', models, interval=2)
    with pytest.raises(OtherSettingsError, match='--restart'):
        convert(other, out)
    assert convert(other, out, restart=True).persons == 6


def test_two_conversions_keep_apart(models, tmp_path, monkeypatch):
    """A second process must not throw the parts of the first one away."""
    monkeypatch.setattr(locking, '_PATIENCE', 0.0)
    releases.bedlam(tmp_path, np.random.default_rng(3), models)
    argv = ['bedlam', str(tmp_path), '--body-models', models]
    argv += ['--out', str(tmp_path / 'out.npz'), '--restart']
    with (
        locking.folder_lock(tmp_path / 'out.parts'),
        pytest.raises(SystemExit, match=r'out\.parts: another run'),
    ):
        run_command(argv)
    assert '9 persons' in run_command(argv)


def test_overwrite(converted, models, tmp_path):
    """Nothing is replaced unless asked for, and then only when done."""
    root = converted('bedlam')[0]
    out = tmp_path / 'new.npz'
    out.write_bytes(b'precious')
    argv = [str(root), '--out', str(out), '--body-models', models]
    with pytest.raises(SystemExit, match='--overwrite'):
        run_command(['bedlam', *argv])
    bad = [str(root), '--out', str(out), '--body-models', str(tmp_path)]
    with pytest.raises(SystemExit, match='SMPLX_NEUTRAL'):
        run_command(['bedlam', *bad, '--overwrite'])
    assert out.read_bytes() == b'precious'
    text = run_command(['bedlam', *argv, '--overwrite', '--restart'])
    assert '9 persons' in text
    assert 'check_humandata.py' in text
    assert len(HumanData.load(out)) == 9


@pytest.mark.parametrize('name', RELEASES)
def test_relative_folder(converted, models, tmp_path, name, monkeypatch):
    """As in the commands of the documentation; names may have spaces."""
    root, _, expected, _ = converted(name)
    monkeypatch.chdir(root.parent)
    out = tmp_path / 'with space' / 'out.npz'
    argv = [name, root.name, '--split', RELEASES[name][2]]
    argv += ['--out', str(out), '--body-models', models]
    text = run_command(argv)
    assert out.read_bytes() == expected.read_bytes()
    assert shlex.split(text.splitlines()[-1])[-1] == str(out)


@pytest.mark.parametrize('name', ['bedlam', 'ubody'])
def test_names_with_backslashes(converted, release, name):
    """Labels that somebody rewrote on Windows name the same images."""
    root, run = release(name)
    if name == 'bedlam':
        for file in root.glob('*/*.npz'):
            content = dict(np.load(file, allow_pickle=True))
            content['imgname'] = np.char.replace(content['imgname'], '/', '\\')
            np.savez(file, **content)
    else:
        file = root / 'annotations/Speech/keypoint_annotation.json'
        labels = json.loads(file.read_text())
        for image in labels['images']:
            image['file_name'] = image['file_name'].replace('/', '\\')
        file.write_text(json.dumps(labels))
    data, summary = run()
    assert summary.missing == 0
    expected = HumanData.load(converted(name)[2])
    assert data['image_path'] == expected['image_path']


@pytest.mark.slow  # every process imports PyTorch
@pytest.mark.parametrize('name', ['bedlam', 'coco'])
def test_processes(converted, models, tmp_path, name, monkeypatch):
    """Several processes make the same file."""
    monkeypatch.setattr(COCOConverter, 'UNIT', 1)
    root = converted(name)[0]
    kind, split = RELEASES[name][1:3]
    files = [tmp_path / 'one.npz', tmp_path / 'two.npz']
    for workers, file in enumerate(files, start=1):
        convert(kind(root, split, models), file, workers=workers)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_processes_get_their_own_annotations(converted, models):
    """COCO is read once; a process is sent the persons of its images."""
    root = converted('coco')[0]
    converter = COCOConverter(root, 'train', models)
    converter.UNIT = 1
    sizes = [len(pickle.dumps(converter.for_unit(u))) for u in ('0', '1')]
    assert sum(sizes) < 1.2 * len(pickle.dumps(converter))
    assert len(converter.for_unit('1').convert('1')) == 2


@pytest.mark.parametrize('name', RELEASES)
def test_hidden_files(converted, release, name):
    root, run = release(name)
    hide_files(root)
    _, found = run()
    expected = converted(name)[3]
    assert (found.images, found.persons) == (expected.images, expected.persons)
    assert found.counts == expected.counts


def test_missing_images_are_told(release):
    root, run = release('coco')
    (root / 'train2017/000000000009.jpg').unlink()
    _, summary = run()
    assert summary.missing == 1
    assert 'WARNING: 1 images are not there' in str(summary)
    assert 'train2017/000000000009.jpg' in str(summary)


# -- bad input ----------------------------------------------------------------


@pytest.mark.parametrize('name', RELEASES)
def test_no_release(models, tmp_path, name):
    """The error names what is missing and the page that helps."""
    kind, split = RELEASES[name][1:3]
    with pytest.raises(ConverterError) as error:
        convert(kind(tmp_path / 'absent', split, models), tmp_path / 'o.npz')
    assert f'docs/en/datasets.md#{name}' in str(error.value)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ConverterError):
        convert(kind(tmp_path / 'empty', split, models), tmp_path / 'o.npz')


AGORA_FITS = 'smplx_gt/trainset_renderpeople_bfh/ag_trainset_renderpeople'
SCENE = 'all_npz_12_training/20221010_3_1000_batch01hand_6fps.npz'
RECORDING = 'recording_20210907_S02_S01_01'
EGO = f'egocentric_color/{RECORDING}/2021-09-07-155421'
FILES = {
    'agora': [
        'train_SMPLX/SMPLX/train_0_withjv.pkl',
        f'{AGORA_FITS}_bfh_hdri_50mm_5_10_00000_0.pkl',
        'smplx_kid_template.npy',
    ],
    'bedlam': [SCENE],
    'coco': [
        'annotations/coco_wholebody_train_v1.0.json',
        'annotations/MSCOCO_train_SMPLX_all_NeuralAnnot.json',
    ],
    'ubody': [
        'annotations/Speech/keypoint_annotation.json',
        'annotations/Speech/smplx_annotation.json',
        'splits/intra_scene_test_list.npy',
    ],
    'arctic': [
        'raw_seqs/s05/box_use_01.smplx.npy',
        'meta/misc.json',
        'meta/subject_vtemplates/s05.obj',
        'splits_json/protocol_p1.json',
    ],
    'egobody': [
        'data_splits.csv',
        'data_info_release.csv',
        f'calibrations/{RECORDING}/cal_trans/holo_to_kinect12.json',
        f'{EGO}/2021-09-07-155421_pv.txt',
        f'{EGO}/keypoints.npz',
        f'smplx_interactee_train/{RECORDING}/body_idx_1/results/'
        'frame_00101/000.pkl',
    ],
    'ehf': ['01_align.ply', 'fitted_params/01_align.npz'],
}
# Without these a conversion goes on: it counts what is not there.
OPTIONAL = (
    FILES['agora'][1],
    'smplx_kid_template.npy',
    'fitted_params/01_align.npz',
    '01_align.ply',
    SCENE,
    FILES['egobody'][-1],
)


def cut(path):
    """Half of the file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace(path):
    """Readable, but something else."""
    if path.suffix == '.json':
        path.write_text(json.dumps({'a': 1}))
    elif path.suffix == '.npz':
        np.savez(path, a=np.zeros(3))
    elif path.suffix == '.npy':
        np.save(path, np.zeros(3))
    elif path.suffix == '.pkl':
        path.write_bytes(pickle.dumps({'a': 1}))
    else:
        path.write_text('a\nb\n')


def recode(path):
    """The same text in UTF-16, as spreadsheet programs may save it."""
    path.write_text(path.read_text(), encoding='utf-16')


def nest(path):
    """Deeper than readers of JSON go, and longer than fields of tables."""
    path.write_text('[' * 200_000)


@pytest.mark.parametrize(
    ('name', 'file', 'damage'),
    [
        (name, file, damage)
        for name, files in FILES.items()
        for file in files
        for damage, harmless in (
            # Half a table names half a recording, which is not there, then.
            (cut, ('data_splits.csv',)),
            (replace, ()),
            (Path.unlink, OPTIONAL),
            (recode, ()),
            (nest, ()),
        )
        if file not in harmless
        if damage not in (recode, nest)
        or file.endswith(('.csv', '.json', '.txt'))
    ],
)
def test_bad_input(release, models, tmp_path, name, file, damage):
    """The command ends with the name of the file, or the page that helps."""
    root, _ = release(name)
    damage(root / file)
    out = tmp_path / 'o.npz'
    kind, split = RELEASES[name][1:3]
    argv = [str(root), '--split', split, '--body-models', models]
    with pytest.raises(SystemExit, match='^error: ') as stop:
        run_command([kind.NAME, *argv, '--out', str(out)])
    assert not out.exists()
    message = stop.value.code
    assert isinstance(message, str)  # printed; the exit code is 1
    if damage is Path.unlink:
        assert f'docs/en/datasets.md#{name}' in message
    elif damage is cut or 'all persons were dropped' not in message:
        # Fits of nobody say so, not which file.
        assert file.rsplit('/', 1)[-1] in message
