# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""tools/bulk_inference.py: many videos, several processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from api_images import draw_image
from script_loader import load_script

from aios.apis import AiOSInferencer
from aios.apis.bulk import read_states
from aios.results import SequenceResult

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/bulk_inference.py'
OPTIONS = '--device', 'cpu', '--score-thr', '0', '--max-persons', '2'


@pytest.fixture(scope='module')
def main() -> Callable:
    module = load_script(TOOL)
    return lambda *args: module.main([str(x) for x in args])


@pytest.fixture
def videos(tmp_path: Path, make_video) -> Path:
    """Three videos of 3, 4 and 5 frames; two have the same name."""
    for number, name in enumerate(('a.avi', 'b.avi', 'more/a.avi')):
        path = tmp_path / 'videos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_video(path, 3 + number)
    return tmp_path / 'videos'


def test_each_video_has_its_folder(
    main, checkpoint: Path, videos: Path, tmp_path: Path, capsys
):
    command = videos, checkpoint, '--recursive', *OPTIONS
    out = videos / 'out'  # its own overlays are no input
    main(*command, '--out-dir', out)
    assert '3 done, 0 failed, 0 todo' in capsys.readouterr().out
    lines = (out / 'manifest.jsonl').read_text().splitlines()
    states = [json.loads(line) for line in lines]
    assert [s['name'] for s in states] == ['a', 'b', 'more__a']
    assert [s['frames'] for s in states] == [3, 4, 5]
    for state in states:
        path = out / 'results' / state['name'] / 'params.npz'
        persons = SequenceResult.load(path)
        assert len(persons.frame_names) == state['frames']
        assert len(persons.frame_index) == state['persons'] > 0
    stamps = [p.stat().st_mtime_ns for p in out.rglob('params.npz')]
    main(*command, '--out-dir', out)
    assert stamps == [p.stat().st_mtime_ns for p in out.rglob('params.npz')]
    with pytest.raises(SystemExit):
        main(*command, '--out-dir', out, '--track')
    assert 'track: then False, now True' in capsys.readouterr().err


def test_folders_of_frames(
    main, checkpoint: Path, make_video, tmp_path: Path, capsys
):
    """As DAVIS and 3DPW have them."""
    for name in ('a/2.png', 'a/10.png', 'b/c/1.png', 'empty/notes.md'):
        path = tmp_path / 'shots' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.png':
            cv2.imwrite(str(path), draw_image(0))
    make_video(tmp_path / 'shots/a/v.avi', 3)
    command = checkpoint, '--fps', 20, '--no-vis', *OPTIONS, '--out-dir'
    main(tmp_path / 'shots', '--recursive', *command, tmp_path / 'out')
    found = {
        path.parent.name: SequenceResult.load(path)
        for path in tmp_path.glob('out/results/*/params.npz')
    }
    assert {name: x.num_frames for name, x in found.items()} == {
        'a': 2, 'a__v': 3, 'b__c': 1
    }  # fmt: skip
    assert found['a'].frame_names.tolist() == ['2', '10']
    assert found['a'].fps == 20
    listing = tmp_path / 'list.txt'
    listing.write_text('shots/b/c\nshots/empty\n')
    with pytest.raises(SystemExit):
        main(listing, *command, tmp_path / 'listed')
    text = capsys.readouterr()
    assert '1 done, 1 failed, 0 todo' in text.out
    assert 'empty: no image or video found' in text.err


def test_list_with_a_broken_video(
    main, checkpoint: Path, videos: Path, make_video, tmp_path: Path, capsys
):
    (videos / 'broken.avi').write_bytes(b'RIFF')
    listing = videos / 'list.txt'
    listing.write_text(  # as editors of Windows do
        '# mine\nbroken.avi\n\nb.avi\nnowhere.avi\ncut.avi', 'utf-8-sig'
    )
    content = make_video(videos / 'cut.avi', 60).read_bytes()
    (videos / 'cut.avi').write_bytes(content[: len(content) // 2])
    out = tmp_path / 'out'
    with pytest.raises(SystemExit) as status:
        main(listing, checkpoint, '--no-vis', *OPTIONS, '--out-dir', out)
    assert status.value.code == 1
    text = capsys.readouterr()
    assert '2 done, 2 failed, 0 todo; 1 have problems' in text.out
    assert 'broken.avi' in text.err
    assert 'nowhere.avi' in text.err
    with pytest.raises(SystemExit):
        main('--status', out)
    assert '"state": "failed"' in capsys.readouterr().out


def test_odd_names_stop_no_person(
    main, checkpoint: Path, make_video, tmp_path: Path, capsys
):
    """Names that are no UTF-8, and as long as file systems allow."""
    folder = tmp_path / 'videos'
    folder.mkdir()
    odd, long = os.fsdecode(b'a\xff.avi'), f'{"b" * 230}.avi'
    for name in (odd, long, f'{"c" * 251}.avi'):
        make_video(tmp_path / 'x.avi', 3).rename(folder / name)
    listing = tmp_path / 'list.txt'
    names = [*os.listdir(folder), f'{"d" * 300}.avi']
    listing.write_bytes(
        b'\n'.join(b'videos/' + os.fsencode(name) for name in names)
    )
    out = tmp_path / 'out'
    for _ in range(2):
        with pytest.raises(SystemExit) as status:
            main(listing, checkpoint, *OPTIONS, '--out-dir', out)
        assert status.value.code == 1
        text = capsys.readouterr()
        assert '2 done, 2 failed, 0 todo' in text.out
        assert 'rename the video' in text.err
        assert 'd' * 300 in text.err
    assert len(list(out.glob('results/*/vis.mp4'))) == 2


def test_wrong_use(main, checkpoint: Path, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as status:
        main('--help')
    assert not status.value.code
    assert 'python tools/bulk_inference.py' in capsys.readouterr().out
    (tmp_path / 'list.txt').write_text('photo.jpg\n')
    for options, message in (
        ([tmp_path / 'list.txt'], 'photo.jpg is not a video; allowed'),
        ([tmp_path, '--overwrite'], 'remove the folder'),
        (
            [tmp_path, '--launcher', 'pytorch'],
            'start the processes',
        ),
    ):
        source, *rest = options
        with pytest.raises(SystemExit) as status:
            main(source, checkpoint, *rest, '--out-dir', tmp_path / 'out')
        assert status.value.code
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit) as status:
        main('--status', tmp_path)
    assert status.value.code == 1


def test_an_interrupted_video_continues(
    main, checkpoint: Path, videos: Path, tmp_path: Path, monkeypatch
):
    forward, calls = AiOSInferencer.forward, []
    limit = 5

    def counted(*args: object, **options: object) -> list:
        if len(calls) == limit:
            raise KeyboardInterrupt
        calls.append(args)
        return forward(*args, **options)

    monkeypatch.setattr(AiOSInferencer, 'forward', counted)
    command = videos, checkpoint, '--recursive', '--no-vis', *OPTIONS
    with pytest.raises(SystemExit) as status:
        main(*command, '--out-dir', tmp_path / 'out')
    assert status.value.code == 130
    limit = 99
    main(*command, '--out-dir', tmp_path / 'out')
    assert len(calls) == 3 + 4 + 5
    states = read_states(tmp_path / 'out')
    assert [s['frames'] for s in states] == [3, 4, 5]
