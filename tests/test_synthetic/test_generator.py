# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Datasets: the same bytes whatever happens, and no harm to other files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from aios.datasets import HumanData
from aios.synthetic import (
    GeneratorOptions,
    SceneOptions,
    generate_dataset,
    list_images,
)
from aios.utils import locking
from aios.utils.run_folder import OtherSettingsError


@pytest.fixture(scope='module')
def options(free_body_dir):
    scene = SceneOptions(128, 96, persons=(1, 2), genders=('neutral',))
    return GeneratorOptions(
        scene, seed=5, body=str(free_body_dir), supersample=1
    )


def digest(root: Path) -> dict[str, str]:
    """Name -> hash of the files a user sees."""
    files = [*sorted((root / 'images').rglob('*.jpg')), root / 'humandata.npz']
    return {
        str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in files
    }


@pytest.fixture(scope='module')
def reference(options, tmp_path_factory):
    root = tmp_path_factory.mktemp('reference') / 'set'
    counts = generate_dataset(root, 4, options)
    return root, counts


@pytest.mark.slow
def test_two_processes_make_the_same_bytes(options, reference, tmp_path):
    root, counts = reference
    ticks = []
    parallel = generate_dataset(
        tmp_path / 'set', 4, options, workers=2, progress=ticks.append
    )
    assert digest(tmp_path / 'set') == digest(root)
    assert parallel == counts
    assert sum(ticks) == 4


def test_interrupted_run_resumes_to_the_same_bytes(
    options, reference, tmp_path
):
    root, counts = reference
    out = tmp_path / 'set'

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_dataset(out, 4, options, progress=stop)
    assert not (out / 'humandata.npz').exists()
    (out / 'images/000002.jpg').write_bytes(b'half a pict')  # power cut
    assert not list(out.rglob('*.tmp'))
    assert generate_dataset(out, 4, options, resume=True) == counts
    assert digest(out) == digest(root)


def test_a_data_set_can_grow_but_not_shrink(options, reference, tmp_path):
    root, counts = reference
    out = tmp_path / 'set'
    generate_dataset(out, 2, options)
    assert generate_dataset(out, 4, options, resume=True) == counts
    assert digest(out) == digest(root)
    with pytest.raises(FileExistsError, match='already has unit 3'):
        generate_dataset(out, 3, options, resume=True)


def test_labels_of_a_smaller_data_set_do_not_survive(
    options, reference, tmp_path, monkeypatch
):
    root, counts = reference
    out = tmp_path / 'set'
    generate_dataset(out, 2, options)

    def fail(*_, **__):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(HumanData, 'dump', fail)
        with pytest.raises(OSError, match='No space'):
            generate_dataset(out, 4, options, resume=True)
    assert generate_dataset(out, 4, options, resume=True) == counts
    assert digest(out) == digest(root)


@pytest.mark.parametrize('fps', [0, -1.0, np.nan, np.inf])
def test_frame_rates_are_positive(fps):
    with pytest.raises(ValueError, match='fps must be positive, got'):
        GeneratorOptions(frames=2, fps=fps)


def test_finished_data_set_is_left_alone(options, reference):
    root, counts = reference
    stamps = {f: f.stat().st_mtime_ns for f in root.rglob('*.*')}
    assert generate_dataset(root, 4, options, resume=True) == counts
    assert {f: f.stat().st_mtime_ns for f in root.rglob('*.*')} == stamps


def test_another_seed_gives_other_images(options, reference, tmp_path):
    generate_dataset(tmp_path / 'set', 1, replace(options, seed=6))
    other = digest(tmp_path / 'set')
    assert (
        other['images/000000.jpg'] != digest(reference[0])['images/000000.jpg']
    )


def test_nothing_is_replaced_silently(options, reference, tmp_path):
    root, _ = reference
    with pytest.raises(FileExistsError, match='--resume'):
        generate_dataset(root, 4, options)
    with pytest.raises(OtherSettingsError, match='seed: then 5, now 7'):
        generate_dataset(root, 4, replace(options, seed=7), resume=True)
    (tmp_path / 'thesis.txt').write_text('mine')
    for flags in (dict(), dict(overwrite=True), dict(resume=True)):
        with pytest.raises(FileExistsError, match='not empty'):
            generate_dataset(tmp_path, 1, options, **flags)
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


def test_two_runs_keep_apart(options, tmp_path, monkeypatch):
    monkeypatch.setattr(locking, '_PATIENCE', 0.0)
    generate_dataset(tmp_path / 'out', 1, options)
    with (
        locking.folder_lock(tmp_path / 'out'),
        pytest.raises(locking.FolderInUseError, match='out: another run'),
    ):
        generate_dataset(tmp_path / 'out', 2, options, resume=True)


def test_overwrite_replaces_only_what_it_made(options, tmp_path):
    out = tmp_path / 'set'
    generate_dataset(out, 2, options)
    (out / 'notes.txt').write_text('mine')
    generate_dataset(out, 1, replace(options, seed=8), overwrite=True)
    assert [f.name for f in (out / 'images').iterdir()] == ['000000.jpg']
    assert (out / 'notes.txt').read_text() == 'mine'


def test_labels_are_a_human_data_file(reference):
    root, counts = reference
    data = HumanData.load(root / 'humandata.npz')
    assert data.compressed
    count = len(data)
    assert count == counts['persons'] > 3
    assert data['keypoints2d_smplx'].shape == (count, 190, 3)
    assert data['keypoints3d_smplx'].shape == (count, 190, 4)
    assert data['keypoints2d_smplx_visible'].shape == (count, 190, 1)
    assert data['keypoints2d_smplx_mask'].sum() == 144
    assert data['smplx']['body_pose'].shape == (count, 21, 3)
    assert data['misc']['flat_hand_mean'] is False
    assert data['misc']['kps3d_root_aligned'] is False
    assert data['misc']['cam_param_type'] == 'prespective'
    for key in ('gender', 'height', 'width', 'occ', 'is_kid', 'person_id'):
        assert len(data['meta'][key]) == count, key
    for rows in data.images():
        name = data['image_path'][rows[0]]
        image = cv2.imread(str(root / name))
        assert image.shape == (96, 128, 3)
        assert len({data['meta']['person_id'][r] for r in rows}) == len(rows)


def test_sequences_have_frames_tracks_and_a_video(options, tmp_path):
    moving = replace(options, frames=3, video=True, fps=10.0)
    out = tmp_path / 'set'
    counts = generate_dataset(out, 1, moving)
    assert counts['images'] == 3
    data = HumanData.load(out / 'humandata.npz')
    assert set(data['meta']['sequence_name']) == {'sequence_0000'}
    assert sorted(set(data['meta']['frame_id'])) == [0, 1, 2]
    betas = {}
    for row, person in enumerate(data['meta']['person_id']):
        mine = data['smplx']['betas'][row]
        np.testing.assert_array_equal(betas.setdefault(person, mine), mine)
    video = cv2.VideoCapture(str(out / 'videos/sequence_0000.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_own_backgrounds_are_used(options, tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    red = np.zeros((200, 300, 3), np.uint8)
    red[..., 2] = 230
    photo = folder / os.fsdecode(b'\xffred.png')
    photo.write_bytes(cv2.imencode('.png', red)[1].tobytes())
    (folder / '._red.png').touch()  # macOS
    (folder / 'sub.jpg').mkdir()
    (folder / 'gone.jpg').symlink_to('nowhere.jpg')
    scene = replace(
        options.scene, backgrounds=tuple(list_images(folder)), persons=(1, 1)
    )
    generate_dataset(tmp_path / 'set', 1, replace(options, scene=scene))
    image = cv2.imread(str(tmp_path / 'set/images/000000.jpg'))
    blue, _, reds = image.reshape(-1, 3).mean(0)
    assert reds > blue + 60
    photo.write_bytes(b'not an image')
    with pytest.raises(ValueError, match='red.png cannot be read as an image'):
        generate_dataset(tmp_path / 'bad', 1, replace(options, scene=scene))
    with pytest.raises(ValueError, match='red.png cannot be read as an image'):
        list_images(folder)
    Image.new('1', (12_000, 12_000)).save(photo)  # a few kB
    with pytest.raises(ValueError, match='at most 134,217,728 pixels'):
        list_images(folder)
    with pytest.raises(FileNotFoundError, match='contains no images'):
        list_images(tmp_path / 'set' / '.synthetic')
