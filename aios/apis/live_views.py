# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Live views of persons in Rerun and viser."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np

from aios.results import FrameResult, instance_color
from aios.structures import vertex_normals
from aios.utils.optional import import_optional

from .writers import FrameWriter

_RERUN = (sys.executable, '-m', 'rerun')
_RERUN_PORT = 9876
_TIMEOUT = 30.0  # seconds to wait for the window


class _View(FrameWriter):
    per_frame = False
    needs_image = True
    needs_vertices = True


class RerunView(_View):
    """Show persons in Rerun's viewer, which keeps all frames.

    Args:
        faces: ``(F, 3)`` triangles of the persons.

    Raises:
        ValueError: If rerun-sdk is not installed, or the window does not
            open.
    """

    def __init__(self, faces: np.ndarray) -> None:
        self._rerun = import_optional('rerun', 'rerun-sdk', '--view rerun')
        self._faces = faces
        self._shown: set[int] = set()
        self._stream = self._rerun.RecordingStream('aios')
        _open_rerun()
        self._stream.connect_grpc()
        axes = self._rerun.ViewCoordinates.RDF  # OpenCV's
        self._stream.log('world', axes, static=True)

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        rerun, log = self._rerun, self._stream.log
        self._stream.set_time('frame', sequence=frame.source_frame)
        self._stream.set_time('time', duration=frame.timestamp)
        pinhole = rerun.Pinhole(
            image_from_camera=frame.K, resolution=frame.size
        )
        log('world/camera', pinhole)
        if image is not None:
            log('world/camera/image', rerun.Image(image).compress())
        persons = _meshes(frame)
        for person, vertices in persons.items():
            mesh = rerun.Mesh3D(
                vertex_positions=vertices,
                triangle_indices=self._faces,
                vertex_normals=vertex_normals(vertices, self._faces),
                albedo_factor=instance_color(person),
            )
            log(f'world/person_{person}', mesh)
        for person in self._shown - persons.keys():
            log(f'world/person_{person}', rerun.Clear(recursive=False))
        self._shown = set(persons)


class ViserView(_View):
    """Serve a page with the newest frame, for browsers on this machine.

    Args:
        faces: ``(F, 3)`` triangles of the persons.

    Raises:
        ValueError: If viser is not installed.
    """

    def __init__(self, faces: np.ndarray) -> None:
        viser = import_optional('viser', 'viser', '--view viser')
        # The default would serve the camera's images to the whole network.
        self.server = viser.ViserServer(host='127.0.0.1')
        self._faces = faces
        self._shown: dict[int, Any] = {}
        self.server.scene.set_up_direction('-y')
        self.server.initial_camera.position = (0.0, -1.0, -2.0)
        self.server.initial_camera.look_at = (0.0, 0.0, 5.0)

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        width, height = frame.size
        persons = _meshes(frame)
        with self.server.atomic():
            self.server.scene.add_camera_frustum(
                '/camera',
                fov=2 * math.atan(height / 2 / frame.K[1, 1]),
                aspect=width / height,
                image=image,
                format='jpeg',
            )
            for person, vertices in persons.items():
                if person in self._shown:
                    self._shown[person].vertices = vertices
                else:
                    self._shown[person] = self.server.scene.add_mesh_simple(
                        f'/person_{person}',
                        vertices,
                        self._faces,
                        color=instance_color(person),
                    )
            for person in self._shown.keys() - persons.keys():
                self._shown.pop(person).remove()

    def __exit__(self, *error: object) -> None:
        self.server.stop()


VIEWS: dict[str, type[RerunView] | type[ViserView]] = {
    'rerun': RerunView,
    'viser': ViserView,
}
"""Classes by name."""


def _open_rerun() -> None:
    """Start Rerun's viewer, if none is open.

    ``RecordingStream.spawn`` would serve the camera's images to the whole
    network.
    """
    if _listens(_RERUN_PORT):
        return
    options = ('--bind', '127.0.0.1', '--port', str(_RERUN_PORT))
    window = subprocess.Popen(
        [*_RERUN, *options, '--expect-data-soon'],
        start_new_session=True,  # keeps running after Ctrl-C
    )
    end = time.monotonic() + _TIMEOUT
    was_open = False  # Rerun listens before it opens a display
    while window.poll() is None and time.monotonic() < end:
        if was_open:
            return
        was_open = _listens(_RERUN_PORT)
        time.sleep(0.5)
    raise ValueError(
        '--view rerun: the Rerun viewer did not start; without a display, '
        'run `rerun --serve-web --bind 127.0.0.1` first'
    )


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', port)) == 0


def _meshes(frame: FrameResult) -> dict[int, np.ndarray]:
    """Vertices ``(V, 3)`` in camera axes by id."""
    ids = frame.instances['person_id'].tolist()
    return dict(zip(ids, frame.instances['vertices'], strict=True))
