# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What viewers get: by stand-ins, and by the real libraries where they are."""

from __future__ import annotations

import math
import socket
import sys
from unittest.mock import MagicMock

import numpy as np
import pytest

from aios.apis import live_views
from aios.apis.live_views import VIEWS, RerunView, ViserView
from aios.results import FrameResult, complete_instances, instance_color

K = np.array([[500.0, 0, 330], [0, 520, 240], [0, 0, 1]])
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
IMAGE = np.full((480, 640, 3), 90, np.uint8)


def make_frame(number: int, *ids: int) -> FrameResult:
    """Vertices tell frame and person."""
    corners = np.eye(4, 3, dtype=np.float32)
    vertices = np.array([corners + (i, number, 5) for i in ids], np.float32)
    instances = complete_instances(
        person_id=np.array(ids, np.int64),
        vertices=vertices.reshape(len(ids), 4, 3),
    )
    return FrameResult(
        f'{number:06d}', number, number / 25, K, (640, 480), instances
    )


FIRST, SECOND, LAST = make_frame(3, 4, 9), make_frame(5, 9), make_frame(6)


def test_rerun(monkeypatch) -> None:
    rerun = MagicMock()
    monkeypatch.setitem(sys.modules, 'rerun', rerun)
    monkeypatch.setattr(live_views, '_open_rerun', lambda: None)
    stream = rerun.RecordingStream.return_value
    with RerunView(FACES) as view:
        stream.connect_grpc.assert_called_once_with()
        view.write(FIRST, IMAGE)
        assert stream.set_time.call_args_list[0].kwargs == {'sequence': 3}
        camera = rerun.Pinhole.call_args.kwargs
        np.testing.assert_array_equal(camera['image_from_camera'], K)
        meshes = [call.kwargs for call in rerun.Mesh3D.call_args_list]
        np.testing.assert_array_equal(
            [mesh['vertex_positions'] for mesh in meshes],
            FIRST.instances['vertices'],
        )
        assert meshes[1]['albedo_factor'] == instance_color(9)
        stream.log.reset_mock()
        view.write(SECOND, None)  # a frame without its image
    logged = {call.args[0]: call.args[1] for call in stream.log.mock_calls}
    assert logged == {
        'world/camera': rerun.Pinhole.return_value,
        'world/person_9': rerun.Mesh3D.return_value,
        'world/person_4': rerun.Clear.return_value,
    }


_LISTEN = """
import socket, sys
options = sys.argv
host, port = (options[options.index(x) + 1] for x in ("--bind", "--port"))
server = socket.create_server((host, int(port)))
while b'end' not in server.accept()[0].recv(3): pass
"""


class TestRerunWindow:
    @pytest.fixture
    def port(self, monkeypatch) -> int:
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
        monkeypatch.setattr(live_views, '_RERUN_PORT', port)
        return port

    def program(self, monkeypatch, code: str) -> None:
        monkeypatch.setattr(live_views, '_RERUN', (sys.executable, '-c', code))

    def test_on_this_machine_only(self, port, monkeypatch) -> None:
        self.program(monkeypatch, _LISTEN)
        live_views._open_rerun()
        self.program(monkeypatch, 'exit(1)')
        live_views._open_rerun()  # the one that is open
        with socket.create_connection(('127.0.0.1', port)) as client:
            client.sendall(b'end')

    def test_no_display(self, port, monkeypatch) -> None:
        self.program(monkeypatch, 'exit(1)')
        with pytest.raises(ValueError, match='did not start.*display'):
            live_views._open_rerun()


def test_viser(monkeypatch) -> None:
    viser = MagicMock()
    monkeypatch.setitem(sys.modules, 'viser', viser)
    scene = viser.ViserServer.return_value.scene
    handles = [MagicMock(), MagicMock()]
    scene.add_mesh_simple.side_effect = handles
    with ViserView(FACES) as view:
        # Nobody else in the network sees the camera.
        assert viser.ViserServer.call_args.kwargs['host'] == '127.0.0.1'
        view.write(FIRST, IMAGE)
        camera = scene.add_camera_frustum.call_args.kwargs
        assert math.tan(camera['fov'] / 2) == pytest.approx(240 / 520)
        assert camera['image'] is IMAGE
        names = [call.args[0] for call in scene.add_mesh_simple.mock_calls]
        assert names == ['/person_4', '/person_9']
        view.write(SECOND, IMAGE)
        handles[0].remove.assert_called_once_with()
        np.testing.assert_array_equal(
            handles[1].vertices, SECOND.instances['vertices'][0]
        )
        view.write(LAST, IMAGE)
        handles[1].remove.assert_called_once_with()
    viser.ViserServer.return_value.stop.assert_called_once_with()


@pytest.mark.parametrize('kind', VIEWS)
def test_missing_packages(kind, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(ValueError, match=f'--view {kind} needs .*pip install'):
        VIEWS[kind](FACES)


def test_real_rerun(monkeypatch, tmp_path) -> None:
    """Into a file instead of the window."""
    rerun = pytest.importorskip('rerun')
    chunk = pytest.importorskip('rerun.chunk')
    path = tmp_path / 'seen.rrd'
    monkeypatch.setattr(live_views, '_open_rerun', lambda: None)
    monkeypatch.setattr(
        rerun.RecordingStream, 'connect_grpc', lambda stream: stream.save(path)
    )
    with RerunView(FACES) as view:
        for frame in (FIRST, SECOND, LAST):
            view.write(frame, IMAGE)
    view._stream.disconnect()
    seen = {}
    for part in chunk.RrdReader(path).stream().to_chunks():
        columns = part.to_record_batch()
        if 'Mesh3D:vertex_positions' in columns.schema.names:
            frames = columns['frame'].to_pylist()
            meshes = columns['Mesh3D:vertex_positions'].to_pylist()
        elif 'Clear:is_recursive' in columns.schema.names:
            frames = columns['frame'].to_pylist()
            meshes = [None] * len(frames)
        else:
            continue
        where = str(part.entity_path)
        seen |= {(where, f): m for f, m in zip(frames, meshes, strict=True)}
    for frame in (FIRST, SECOND):
        ids = frame.instances['person_id']
        for person, vertices in zip(
            ids, frame.instances['vertices'], strict=True
        ):
            shown = seen[f'/world/person_{person}', frame.source_frame]
            np.testing.assert_array_equal(shown, vertices)
    cleared = {key for key, mesh in seen.items() if mesh is None}
    assert cleared == {('/world/person_4', 5), ('/world/person_9', 6)}


def test_real_viser() -> None:
    pytest.importorskip('viser')
    with ViserView(FACES) as view:
        for frame in (FIRST, SECOND):
            view.write(frame, IMAGE)
        shown = view._shown
        assert shown.keys() == {9}
        np.testing.assert_array_equal(
            shown[9].vertices, SECOND.instances['vertices'][0]
        )
        view.write(LAST, None)
