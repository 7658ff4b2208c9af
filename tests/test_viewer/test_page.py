# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from aios.apis.viewer import make_viewer
from aios.export import write_glb
from aios.results import SequenceResult
from aios.viewer import describe_persons, make_image_track, write_viewer
from aios.viewer import page as page_module


class _Page(HTMLParser):
    """Elements with their texts, as a browser sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.tags: list[str] = []
        self.links: list[str] = []
        self.policy = ''
        self._now = ''
        self.feed(path.read_text('utf-8'))

    def handle_starttag(self, tag, attrs) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self._now = given.get('id') or tag
        self.links += [given[n] for n in ('src', 'href') if n in given]
        if given.get('http-equiv') == 'Content-Security-Policy':
            self.policy = given['content']

    def handle_data(self, data) -> None:
        self.texts[self._now] = self.texts.get(self._now, '') + data

    def payload(self, name: str) -> bytes:
        lines = self.texts[name].split()
        return b''.join(base64.b64decode(line) for line in lines)


def test_everything_is_inside(persons, animation, images, tmp_path) -> None:
    times = np.arange(4) / 5
    track = make_image_track(images, tmp_path, times)
    path = tmp_path / 'sub/page.html'
    size = write_viewer(persons, animation, path, images=track)
    assert size == path.stat().st_size
    page = _Page(path)
    assert gzip.decompress(page.payload('glb')) == animation.read_bytes()
    for index, file in enumerate(track.paths):
        assert page.payload(f'media{index}') == file.read_bytes()
    data = json.loads(page.texts['data'])
    assert data.items() >= describe_persons(persons).items()
    assert data['media'] == {
        'kind': 'images',
        'type': 'image/jpeg',
        'names': ['media0', 'media1', 'media2', 'media3'],
    }
    # Nothing is fetched, and the browser is told to refuse it.
    assert page.links == []
    assert "default-src 'none'" in page.policy
    assert 'http' not in page.policy


@pytest.mark.parametrize('mode', ['overlay', 'source'])
def test_images_and_sound_of_a_part(
    mode, persons, animation, images, tmp_path
) -> None:
    """The overlay begins with the run, the source earlier."""
    count = {'overlay': 0, 'source': 10}[mode]
    source = tmp_path / 'vis.mp4'
    with av.open(str(source), 'w') as container:
        video = container.add_stream('libx264', rate=5)
        sound = container.add_stream('aac', rate=8000)
        video.width, video.height = images[0].shape[1::-1]
        for image in count * images[:1] + images:
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        # Silence, and a tone with the third frame of the run.
        times = np.arange(8000 * (count + 4) // 5) / 8000
        wave = np.sin(2000 * times) * (times >= (count + 2) / 5)
        samples = av.AudioFrame.from_ndarray(
            wave[None].astype(np.float32), 'fltp', 'mono'
        )
        samples.rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    (tmp_path / 'scratch').mkdir()
    page = tmp_path / 'page.html'
    make_viewer(
        persons.select_frames([2, 3]),
        tmp_path,
        page,
        tmp_path / 'scratch',
        mode=mode,
        source=source,
        run=persons,
        model_path='free',
    )
    part = tmp_path / 'part.mp4'
    part.write_bytes(_Page(page).payload('media'))
    with av.open(str(part)) as container:
        shown = [
            f.to_ndarray(format='rgb24') for f in container.decode(video=0)
        ]
    for image, wanted in zip(shown, images[2:], strict=True):
        assert np.abs(image[60, 80].astype(int) - wanted[0, 0]).max() < 12
    with av.open(str(part)) as container:
        heard = [f.to_ndarray() for f in container.decode(audio=0)]
    assert np.abs(np.concatenate(heard, 1)[0, 1000:2000]).max() > 0.5


def test_results_with_smplx_at_its_default_place(
    persons, free_body_dir, tmp_path, monkeypatch
) -> None:
    """They name the body model, not its folder."""
    monkeypatch.setenv('AIOS_BODY_MODELS', str(free_body_dir))
    monkeypatch.chdir(tmp_path)
    page = tmp_path / 'page.html'
    named = replace(persons, body_model='smplx')
    make_viewer(named, tmp_path, page, tmp_path, mode='none')
    assert _Page(page).payload('glb')


def test_license_of_three_is_inside(persons, animation, tmp_path) -> None:
    write_viewer(persons, animation, tmp_path / 'page.html')
    text = (tmp_path / 'page.html').read_text('utf-8')
    assert 'Three.js Authors' in text
    assert 'SPDX-License-Identifier: MIT' in text


def test_what_is_said_of_persons(persons) -> None:
    data = describe_persons(persons)
    np.testing.assert_allclose(data['times'], [0, 0.2, 0.4, 0.6], atol=1e-6)
    assert data['names'] == ['000010', '000011', '000012', '000013']
    first, second = data['persons']
    assert (first['id'], first['spans']) == (2, [[0, 0], [3, 3]])
    assert (second['id'], second['spans']) == (7, [[0, 3]])
    assert (first['count'], second['count']) == (2, 4)
    assert re.fullmatch('#[0-9a-f]{6}', first['color'])
    assert first['color'] != second['color']
    (view,) = data['cameras']
    assert view['size'] == [320, 240]
    np.testing.assert_array_equal(view['K'], persons.K[0])
    assert data['frameCameras'] == [0, 0, 0, 0]
    # y up, z towards the viewer.
    low, high = np.array(data['bounds'])
    joints = persons.joints3d.reshape(-1, 3)
    np.testing.assert_allclose(low[2], -joints[:, 2].max(), atol=1e-3)
    np.testing.assert_allclose(high[1], -joints[:, 1].min(), atol=1e-3)
    assert data['ground'] == low[1]


def test_the_grid_is_the_floor(persons) -> None:
    """The camera is 2 m above it, and looks straight down."""
    data = describe_persons(replace(persons, floor=[0, 0, -1, 2]))
    joints = persons.joints3d.reshape(-1, 3)
    low, high = np.array(data['bounds'])
    np.testing.assert_allclose(low[1], 2 - joints[:, 2].max(), atol=1e-3)
    np.testing.assert_allclose(high[2], joints[:, 1].max(), atol=1e-3)
    assert data['ground'] == 0
    depths = joints[:, 2].min(), joints[:, 2].max()
    np.testing.assert_allclose(data['depths'], depths, atol=1e-3)


def test_persons_behind_the_camera(persons) -> None:
    """As networks predict them sometimes."""
    behind = persons.joints3d - [0, 0, 20]
    data = describe_persons(replace(persons, joints3d=behind))
    assert data['bounds'][0][2] > 10


def test_a_person_far_away_does_not_make_the_others_small(persons) -> None:
    joints = persons.joints3d.copy()
    joints[persons.person_id == 2] += (0, 0, 500)
    data = describe_persons(replace(persons, joints3d=joints))
    assert data['bounds'][0][2] > -10


def test_cameras_that_change(persons) -> None:
    K = persons.K.copy()
    K[2, 0, 0] *= 2
    data = describe_persons(replace(persons, K=K))
    chosen = [data['cameras'][i]['K'][0][0] for i in data['frameCameras']]
    assert chosen == [400, 400, 800, 400]


def test_no_person_and_nothing(layer, tmp_path) -> None:
    nobody = SequenceResult.from_frames([], source='empty')
    write_glb(nobody, layer, tmp_path / 'persons.glb')
    write_viewer(nobody, tmp_path / 'persons.glb', tmp_path / 'page.html')
    data = json.loads(_Page(tmp_path / 'page.html').texts['data'])
    assert (data['persons'], data['times']) == ([], [])
    assert data['media']['kind'] == 'none'


def test_texts_of_users_stay_texts(persons, animation, tmp_path) -> None:
    bad = '</script><img src=x onerror=alert(1)>%%GLB%%'
    names = persons.frame_names.astype('U80')
    names[1] = bad
    sequence = replace(persons, source=f'{bad}.mp4', frame_names=names)
    path = tmp_path / 'page.html'
    write_viewer(sequence, animation, path, title=bad)
    page = _Page(path)
    assert 'img' not in page.tags
    assert json.loads(page.texts['data'])['names'][1] == bad
    assert page.texts['title'].strip() == bad


def test_an_existing_page_stays(persons, animation, tmp_path) -> None:
    path = tmp_path / 'page.html'
    path.write_text('mine')
    with pytest.raises(FileExistsError, match=r'page\.html'):
        write_viewer(persons, animation, path)
    assert path.read_text() == 'mine'
    write_viewer(persons, animation, path, overwrite=True)
    assert path.stat().st_size > 10_000
    assert [file.name for file in tmp_path.iterdir()] == ['page.html']


def test_the_animation_of_others_is_refused(
    persons, animation, tmp_path
) -> None:
    path = tmp_path / 'page.html'
    alone = persons.select(persons.person_id == 7)
    with pytest.raises(ValueError, match=r'persons \[2, 7\].* \[7\]'):
        write_viewer(alone, animation, path)
    fewer = persons.select_frames([0, 1])
    with pytest.raises(ValueError, match='4 frames, expected 2'):
        write_viewer(fewer, animation, path)
    header = b'glTF' + bytes(8)
    for content in (
        *(b'', b'no model', header + b'\5\0\0\0JSON{'),
        *(header + b'\xff\xff\xff\xffJSON{', header + b'\2\0\0\0JSON[]'),
    ):
        (tmp_path / 'bad.glb').write_bytes(content)
        with pytest.raises(ValueError, match=r'bad\.glb: '):
            write_viewer(persons, tmp_path / 'bad.glb', path)
    assert not path.exists()


@pytest.mark.parametrize('change', ['places', 'floor'])
def test_an_animation_of_earlier_results_is_made_anew(
    persons, animation, tmp_path, change
) -> None:
    """As after --ground or --height."""
    changed = {
        'places': replace(persons, transl=persons.transl + [0, 0, 0.01]),
        'floor': replace(persons, floor=[0, -0.8, -0.6, 0]),
    }[change]
    with pytest.raises(ValueError, match=r'persons\.glb: .* another'):
        write_viewer(changed, animation, tmp_path / 'page.html')
    results = tmp_path / 'results'
    results.mkdir()
    (results / 'persons.glb').write_bytes(animation.read_bytes())
    for number, sequence in enumerate((persons, changed)):
        page, scratch = tmp_path / f'{number}.html', tmp_path / str(number)
        scratch.mkdir()
        make_viewer(sequence, results, page, scratch, mode='none')
        shown = gzip.decompress(_Page(page).payload('glb'))
        assert (shown == animation.read_bytes()) == (sequence is persons)


def test_images_of_other_frames_are_refused(
    persons, animation, images, tmp_path
) -> None:
    track = make_image_track(images[:3], tmp_path, [0, 1, 2])
    with pytest.raises(ValueError, match='3 frames, expected 4'):
        write_viewer(persons, animation, tmp_path / 'a.html', images=track)


def test_too_large(persons, animation, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(page_module, '_LIMIT', 1000)
    with pytest.raises(ValueError, match='use fewer frames'):
        write_viewer(persons, animation, tmp_path / 'page.html')
