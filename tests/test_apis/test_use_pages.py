# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""All code of the pages for users runs, with a tiny network and noise."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from api_images import SIZE, draw_image
from script_loader import load_script

from aios.apis import AiOSInferencer
from aios.results import SequenceResult

ROOT = Path(__file__).parents[2]
LINE = re.compile(r'python ((?:demo|tools)/\w+\.py) (.*)')

# Random weights are not sure of anybody.
EAGER = ('--device', 'cpu', '--score-thr', '0', '--max-persons', '2')
# Looked at in other tests: they open windows, programs, or wait.
NOT_HERE = ('pip install', 'gradio_app', 'blender ', 'bash tools/quickstart')


@pytest.fixture
def desk(checkpoint, make_video, tmp_path, monkeypatch) -> Path:
    """Folder with what the pages talk of."""
    cv2.imwrite(str(tmp_path / 'photo.jpg'), draw_image(0))
    # What the name says does not matter to OpenCV.
    make_video(tmp_path / 'dance.avi', 2).rename(tmp_path / 'dance.mp4')
    (tmp_path / 'tiny.pth').write_bytes(checkpoint.read_bytes())
    np.save(tmp_path / 'K.npy', [[90.0, 0, 40], [0, 95, 30], [0, 0, 1]])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    return tmp_path


def _blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of code, in order."""
    text = (ROOT / f'docs/en/{page}.md').read_text()
    return re.findall(r'```(python|bash)\n(.*?)```', text, flags=re.DOTALL)


def _run_line(line: str, again: set[str]) -> None:
    """Run a command of ours in this process."""
    if any(words in line for words in NOT_HERE):
        return
    match = LINE.fullmatch(line)
    assert match, f'not tested: {line}'
    script, rest = match.groups()
    arguments = shlex.split(rest)
    if script.startswith('demo/'):
        arguments = [
            'tiny.pth' if word == 'CHECKPOINT' else word for word in arguments
        ] + list(EAGER)
        if script in again and '--resume' not in arguments:
            arguments.append('--overwrite')
    load_script(script).main(arguments)
    again.add(script)


def _run_page(page: str, *skipped: str) -> dict:
    """Run all blocks of a page, as a reader would from top to bottom.

    Args:
        page: Its name.
        skipped: Languages that are left out.

    Returns:
        The variables.
    """
    scope: dict = {'__name__': page}
    again: set[str] = set()
    for language, text in _blocks(page):
        if language in skipped:
            continue
        if language == 'bash':
            for line in text.strip().splitlines():
                _run_line(line, again)
            continue
        if '>>>' in text:
            continue  # run by the tests of the site
        code = text.replace("'CHECKPOINT'", "'tiny.pth'")
        code = code.replace('score_thr=0.3', "device='cpu', score_thr=0.0")
        exec(compile(code, page, 'exec'), scope)
    return scope


def test_first_image(desk) -> None:
    _run_page('first_image')
    drawn = cv2.imread('overlay.png')
    assert drawn.shape == (SIZE[1], SIZE[0] + SIZE[1] // 2, 3)
    assert Path('persons.glb').stat().st_size > 100_000
    assert Path('person0.obj').exists()
    for name in (
        'vis/photo.jpg', 'params.npz', 'params/photo.npz', 'persons.glb',
        'mesh/photo_person0.obj', 'viewer.html',
    ):  # fmt: skip
        assert Path('outputs/photo', name).exists(), name


def test_video(desk, capsys) -> None:
    _run_page('video')
    said = capsys.readouterr().out
    assert '0.10 s: ' in said
    assert re.search(r'person \d+: \d frames, from 0', said)
    capture = cv2.VideoCapture('gray.mp4')
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    for name in ('vis.mp4', 'viewer.html', 'overlay.html'):
        assert Path('outputs/dance', name).exists(), name


def test_inference(desk, capsys) -> None:
    line = 'python demo/video_demo.py dance.mp4 CHECKPOINT --out-dir results'
    _run_line(line, set())
    scope = _run_page('inference', 'bash')
    assert scope['overlay'].shape == (*SIZE[::-1], 3)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r'000001 \(\d, 144, 3\) 7500', lines[-1])
    for name in ('keypoints.json', 'vis.mp4'):
        assert Path('results_python', name).exists(), name
    persons = SequenceResult.load('results/params.npz')
    assert len(SequenceResult.load('smooth.npz')) == len(persons)


def test_viewer(desk) -> None:
    _run_line(
        'python demo/image_demo.py photo.jpg CHECKPOINT '
        '--out-dir outputs/photo',
        set(),
    )
    _run_line(
        'python demo/video_demo.py dance.mp4 CHECKPOINT '
        '--out-dir outputs/dance',
        set(),
    )
    _run_page('viewer')
    assert Path('outputs/dance/viewer.html').exists()
    assert Path('page.html').stat().st_size > 500_000


def test_camera(desk) -> None:
    _run_page('camera')
    with np.load('outputs/image_demo/params.npz') as results:
        wanted = np.load('K.npy')
        np.testing.assert_allclose(results['K'][0], wanted)


def test_viewer_of_an_interrupted_run(desk, monkeypatch, capsys) -> None:
    forward, calls = AiOSInferencer.forward, []

    def interrupt(*args: object, **options: object) -> list:
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return forward(*args, **options)

    monkeypatch.setattr(AiOSInferencer, 'forward', interrupt)
    line = 'python demo/video_demo.py dance.mp4 CHECKPOINT --out-dir out'
    with pytest.raises(SystemExit):
        _run_line(line, set())
    main = load_script('tools/make_viewer.py').main
    main(['out'])
    assert 'out is not complete, it has 1 frames' in capsys.readouterr().err
    assert '"kind":"video"' in Path('out/viewer.html').read_text('utf-8')
    main(['out', '--source', 'dance.mp4', '--overwrite'])
    assert '"kind":"video"' in Path('out/viewer.html').read_text('utf-8')


def test_options_of_make_viewer(desk, capsys) -> None:
    """What the images of results may be, and what is wrong with others."""
    _run_line(
        'python demo/image_demo.py photo.jpg CHECKPOINT --out-dir out', set()
    )
    module = load_script('tools/make_viewer.py')
    module.main(['out', '--source', 'photo.jpg'])
    with pytest.raises(SystemExit, match=r'--out is an \.html file, got'):
        module.main(['out', '--out', 'out/params.npz', '--overwrite'])
    with pytest.raises(SystemExit, match=r'viewer\.html exists'):
        module.main(['out'])
    module.main(['out/params.npz', '--images', 'none', '--ids', '0',
                 '--overwrite'])  # fmt: skip
    page = Path('out/viewer.html').read_text('utf-8')
    assert '"kind":"none"' in page
    # what somebody else's results name may be an image of mine
    with pytest.raises(
        SystemExit, match='out contains no images.*none shows persons only'
    ):
        module.main(['out', '--overwrite', '--images', 'source'])
    Path('photo.jpg').rename('moved.jpg')
    for overlay in Path('out/vis').iterdir():
        overlay.rename('overlay.jpg')
        overlay.symlink_to(Path('overlay.jpg').resolve())
    Path('out/vis').rename('vis')
    Path('out/vis').symlink_to(Path('vis').resolve())
    with pytest.raises(SystemExit, match='--source'):
        module.main(['out', '--overwrite'])
    Path('out/vis').unlink()
    Path('vis').rename('linked')
    with pytest.raises(SystemExit, match="no images of the frames 'photo'"):
        module.main(['out', '--overwrite', '--source', 'moved.jpg'])
    assert Path('out/viewer.html').read_text('utf-8') == page
    Path('vis').mkdir()
    Path('moved.jpg').rename('vis/photo.jpg')
    module.main(['out', '--overwrite', '--source', 'vis'])
    assert '"kind":"images"' in Path('out/viewer.html').read_text('utf-8')
    with pytest.raises(SystemExit, match='no_such'):
        module.main(['no_such'])
