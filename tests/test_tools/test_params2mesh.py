# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``tools/params2mesh.py``."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aios.results import FrameResult, SequenceResult, complete_instances

ROOT = Path(__file__).parents[2]
params2mesh = runpy.run_path(str(ROOT / 'tools/params2mesh.py'))
main = params2mesh['main']


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """Three frames with the persons 1 and 2, the last with 2 alone."""
    frames = []
    for number, ids in enumerate(((1, 2), (1, 2), (2,))):
        fields = complete_instances(
            person_id=np.array(ids),
            transl=np.array([[i, 0, 4] for i in ids]),
        )
        frame = FrameResult(
            f'{number:06d}', number, number / 10, np.eye(3), (64, 48), fields
        )
        frames.append(frame)
    path = tmp_path / 'results' / 'params.npz'
    SequenceResult.from_frames(frames, fps=10).save(path)
    return path


@pytest.mark.parametrize(
    'options, files',
    [
        (['--format', 'glb'], ['params.glb']),
        (['--format', 'json'], ['params.json']),
        (
            ['--format', 'bvh'],
            ['params_bvh/person1.bvh', 'params_bvh/person2.bvh'],
        ),
        (
            ['--format', 'amass'],
            ['params_amass/person1.npz', 'params_amass/person2.npz'],
        ),
        (
            ['--format', 'obj', '--frames', '1:', '--ids', '2'],
            ['params_obj/000001_person2.obj', 'params_obj/000002_person2.obj'],
        ),
        (
            ['--format', 'ply', '--frames', '0', '--axes', 'opengl'],
            ['params_ply/000000_person1.ply', 'params_ply/000000_person2.ply'],
        ),
    ],
)
def test_formats(
    params: Path, free_body_dir: Path, capsys, options, files
) -> None:
    call = [str(params), *options, '--model-path', str(free_body_dir)]
    main(call)
    folder = params.parent
    found = {str(p.relative_to(folder)) for p in folder.rglob('*.*')}
    assert found == {'params.npz', *files}
    assert f'wrote {folder / files[0]}' in capsys.readouterr().out
    before = (folder / files[0]).stat().st_mtime_ns
    with pytest.raises(SystemExit, match=f'{files[0]} exists.*--overwrite'):
        main(call)
    assert (folder / files[0]).stat().st_mtime_ns == before
    main([*call, '--overwrite'])
    assert (folder / files[0]).stat().st_mtime_ns > before


@pytest.mark.parametrize('kind', ['bvh', 'obj'])
def test_overwrite_names_files_of_other_persons(
    params: Path, capsys, kind: str
) -> None:
    call = [str(params), '--format', kind, '--overwrite']
    main(call)
    assert 'other files' not in capsys.readouterr().err
    main([*call, '--ids', '2'])
    left = sorted((params.parent / f'params_{kind}').glob(f'*1.{kind}'))
    text = f'{len(left)} other files were not replaced, such as {left[0]}'
    assert text in capsys.readouterr().err


def test_folder_of_a_run(params: Path, free_body_dir: Path, capsys) -> None:
    folder = params.parent
    main([str(folder), '--format', 'json'])
    assert f'wrote {folder / "params.json"}' in capsys.readouterr().out


def test_folder_of_an_interrupted_run(params: Path, capsys) -> None:
    """What is there is used, and the user is told."""
    folder = params.parent
    parts = folder / 'parts/raw'
    parts.mkdir(parents=True)
    params.rename(parts / '000000000-000000003.npz')
    main([str(folder), '--format', 'json'])
    assert 'not complete, it has 3 frames' in capsys.readouterr().err
    document = json.loads((folder / 'params.json').read_text())
    assert len(document['annotations']) == 5
    (parts / '000000000-000000003.npz').unlink()
    with pytest.raises(SystemExit, match=r'no params\.npz and no partial'):
        main([str(folder), '--format', 'json', '--overwrite'])


def test_out_and_frames(params: Path, tmp_path: Path) -> None:
    out = tmp_path / 'new' / 'x.json'
    main(
        [str(params), '--format', 'json', '--frames', '0,2', '--out', str(out)]
    )
    document = json.loads(out.read_text())
    assert [image['frame'] for image in document['images']] == [0, 2]
    assert [p['image_id'] for p in document['annotations']] == [0, 0, 1]


def test_results_without_persons(params: Path, capsys) -> None:
    frame = FrameResult('0', 0, 0.0, np.eye(3), (64, 48), complete_instances())
    SequenceResult.from_frames([frame]).save(params, overwrite=True)
    main([str(params), '--format', 'glb'])
    assert 'contains no person' in capsys.readouterr().err
    assert [p.name for p in params.parent.iterdir()] == ['params.npz']


@pytest.mark.parametrize(
    'options, message',
    [
        (['--format', 'bvh', '--out', __file__], '--out is a folder for bvh'),
        (['--ids', '5'], r'no person 5, ids are \[1, 2\]'),
        (['--frames', '7'], r'--frames: 7 is not in 0\.\.2'),
        (['--frames', 'all'], "like 3,5,8 or 0:100:10, got 'all'"),
        (['--frames', '2', '--ids', '1'], 'no person 1, ids are'),
        (['--frames', '2:2'], 'the 0 frames contain no person'),
        (['--model-path', 'nowhere'], 'nowhere'),
        (['--fps', '-1'], 'fps must be positive'),
        (['--scale', '100'], '--scale is for bvh, not for glb'),
        (['--axes', 'opengl'], '--axes is for obj, ply, not for glb'),
        (['--track'], '--track: allowed with --from only'),
        (
            ['--format', 'bvh', '--out', 'walk.bvh'],
            '--out is a folder for bvh, got the name of a file, walk.bvh',
        ),
        (
            ['--out', 'params.npz', '--overwrite'],
            r'--out is a \.glb file for glb, got params\.npz',
        ),
        (
            ['--fov', '60', '--track'],
            '--fov and --track: allowed with --from only',
        ),
        (
            ['--from', 'amass', '--fov', '60', '--track'],
            '--fov: not allowed with --from amass',
        ),
        (['--from', 'multihmr', '--fov', '60'], 'fov needs image_size'),
        (
            ['--ground', '--height', '1=1.8', '--height', '1.7'],
            'set --height per person',
        ),
    ],
)
def test_errors(params: Path, options, message) -> None:
    with pytest.raises(SystemExit, match='error: .*' + message) as caught:
        main([str(params), '--format', 'glb', *options])
    assert caught.value.code != 0
    assert [p.name for p in params.parent.iterdir()] == ['params.npz']


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='error: .*none.npz'):
        main([str(tmp_path / 'none.npz'), '--format', 'json'])
    (tmp_path / 'bad.npz').write_text('no zip')
    with pytest.raises(SystemExit, match=r'error: .*bad\.npz: truncated'):
        main([str(tmp_path / 'bad.npz'), '--format', 'json'])


def test_note_about_another_body_model(params: Path, capsys) -> None:
    persons = SequenceResult.load(params)
    licensed = SequenceResult.from_frames(
        persons.frames(), fps=10, body_model='data/body_models'
    )
    licensed.save(params, overwrite=True)
    main([str(params), '--format', 'bvh', '--height', '2', '--fill-gaps', '3'])
    assert capsys.readouterr().err.count("'data/body_models'") == 1


def test_frame_rate_of_a_video(params: Path, tmp_path: Path, capsys):
    words = ['--format', 'bvh', '--fps', '30', '--out', str(tmp_path / 'x')]
    main([str(params), *words])
    assert 'these results have 10 frames per second' in capsys.readouterr().err


def test_motion_of_separate_images(params: Path, capsys):
    persons = SequenceResult.load(params)
    images = replace(persons, timestamps=np.zeros(3), fps=0.0)
    for sequence, noted in (
        (images, True),
        (images.select_frames([0]), False),
    ):
        sequence.save(params, overwrite=True)
        main([str(params), '--format', 'bvh', '--overwrite'])
        out = capsys.readouterr().out
        assert ('same id is not the same person' in out) is noted


def test_heights(params: Path, tmp_path: Path, capsys):
    out = tmp_path / 'scaled.npz'
    options = ['--height', '2=1.6', '--height', '1.8', '--format', 'npz']
    main([str(params), *options, '--out', str(out)])
    persons = SequenceResult.load(out)
    two = persons.person_id == 2
    assert np.ptp(persons.betas[two], axis=0).max() == 0
    assert persons.betas[two][0, 0] < 0 < persons.betas[~two][0, 0]
    options = ['--height', '2=1.6', '--ground', '--format', 'npz']
    main([str(params), *options, '--out', str(tmp_path / 'floor.npz')])
    assert 'note: not put on the floor: ' in capsys.readouterr().err
    without = SequenceResult.load(tmp_path / 'floor.npz')
    np.testing.assert_array_equal(without.betas[two], persons.betas[two])
    for words, reason in (
        (
            ['--height', '1=1.8', '--height', '1=1.7'],
            'person 1 is given twice',
        ),
        (['--height', '5=1.8'], 'there is no person 5; ids are 1, 2'),
        (['--height', '1=tall'], "such as 3=1.75; got '1=tall'"),
        (['--height', 'ann=1.7'], "such as 3=1.75; got 'ann=1.7'"),
        (['--height', '=1.7'], "such as 3=1.75; got '=1.7'"),
    ):
        with pytest.raises(SystemExit) as refusal:
            main([str(params), *words, '--format', 'json'])
        assert reason in f'{refusal.value} {capsys.readouterr().err}'


def test_gaps_are_filled(params: Path, tmp_path: Path):
    persons = SequenceResult.load(params)
    ends = persons.select(
        (persons.frame_index != 1) | (persons.person_id == 1)
    )
    ends.save(params, overwrite=True)
    out = tmp_path / 'filled.npz'
    words = ['--fill-gaps', '1', '--format', 'npz', '--out', str(out)]
    main([str(params), *words])
    filled = SequenceResult.load(out)
    assert filled.person_id.tolist() == [1, 2, 1, 2, 2]
    assert filled.scores[3] == 0 < filled.scores[[0, 1, 2, 4]].min()
    images = replace(ends, timestamps=np.zeros(3))
    images.save(params, overwrite=True)
    with pytest.raises(SystemExit, match='needs ids of a video'):
        main([str(params), *words, '--overwrite'])


@pytest.mark.parametrize('given', ['take.01', '.'])
def test_folder_of_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Its name may have a dot, and may be that of the current folder."""
    folder = tmp_path / 'take.01'
    folder.mkdir()
    person = dict(rotvec=np.zeros((53, 3)).tolist(), transl_pelvis=[0, 0, 4])
    (folder / '0.json').write_text(json.dumps([person]))
    monkeypatch.chdir(folder if given == '.' else tmp_path)
    options = ['--from', 'multihmr', '--image-size', '64', '48']
    main([given, *options, '--format', 'json'])
    main([given, *options, '--format', 'bvh'])
    assert (tmp_path / 'take.01.json').is_file()
    assert (tmp_path / 'take.01_bvh' / 'person0.bvh').is_file()
