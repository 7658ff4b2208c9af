# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rasteriser on OpenGL without a window (EGL), through ModernGL.

Faster than a processor if there is a graphics card, slower if OpenGL itself
is software (Mesa's llvmpipe): so it is preferred only in the first case.

A context belongs to the thread that made it; each thread gets its own.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ['is_available', 'is_hardware', 'rasterize']

_SOFTWARE = ('llvmpipe', 'softpipe', 'swrast', 'swiftshader', 'software')

_VERTEX = """
#version 330
uniform mat4 projection;
in vec3 position;
in vec3 color;
out vec3 shade;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    shade = color;
}
"""

_FRAGMENT = """
#version 330
in vec3 shade;
out vec4 pixel;
void main() {
    pixel = vec4(shade, 1.0);
}
"""

_threads = threading.local()
_owner: list[int] = []  # process that uses OpenGL; drivers do not survive fork


def is_available() -> bool:
    """Whether ModernGL and a driver for EGL are there."""
    is_child = bool(_owner) and _owner[0] != os.getpid()
    return not is_child and _renderer_name() is not None


def is_hardware() -> bool:
    """Whether a graphics card does the work."""
    name = _renderer_name()
    return name is not None and not any(
        word in name.lower() for word in _SOFTWARE
    )


@lru_cache(maxsize=1)
def _renderer_name() -> str | None:
    """What OpenGL calls itself; ``None`` if there is none."""
    if importlib.util.find_spec('moderngl') is None:
        return None
    try:
        return str(_canvas().context.info['GL_RENDERER'])
    except Exception:  # noqa: BLE001 - drivers fail in every way
        return None


@dataclass
class _Canvas:
    """A context and what is kept on the card."""

    context: Any
    program: Any
    buffers: Any = None
    size: tuple[int, int] = (0, 0)

    def frame(self, width: int, height: int) -> Any:
        """An empty frame of at least this size.

        Frames grow only: people move, and windows change every time.
        """
        if width > self.size[0] or height > self.size[1]:
            if self.buffers is not None:
                for part in self.buffers:
                    part.release()
            self.size = max(width, self.size[0]), max(height, self.size[1])
            color = self.context.texture(self.size, 4, dtype='f4')
            depth = self.context.depth_texture(self.size)
            frame = self.context.framebuffer([color], depth)
            self.buffers = frame, color, depth
        frame = self.buffers[0]
        frame.use()
        frame.viewport = (0, 0, width, height)
        frame.clear(depth=1.0)
        return frame


def _canvas() -> _Canvas:
    canvas = getattr(_threads, 'canvas', None)
    if canvas is None:
        import moderngl

        _owner[:] = [os.getpid()]
        context = moderngl.create_context(standalone=True, backend='egl')
        context.enable_only(moderngl.DEPTH_TEST)
        program = context.program(_VERTEX, _FRAGMENT)
        canvas = _threads.canvas = _Canvas(context, program)
    canvas.context.__enter__()
    return canvas


def rasterize(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    K: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one mesh into an empty image.

    Same contract as :func:`aios.visualization.numpy_rasterizer.rasterize`.
    """
    depths = vertices[:, 2][faces]
    # Planes that hug the mesh: the depth buffer has 24 bits for what is
    # between.
    near, far = 0.99 * float(depths.min()), 1.01 * float(depths.max())
    canvas = _canvas()
    projection = _projection(K, height, width, near, far)
    canvas.program['projection'].write(
        np.ascontiguousarray(projection.T, np.float32).tobytes()
    )
    data = np.concatenate([vertices, colors], axis=1).astype(np.float32)
    context = canvas.context
    points = context.buffer(data.tobytes())
    triangles = context.buffer(np.ascontiguousarray(faces, np.int32).tobytes())
    mesh = context.vertex_array(
        canvas.program, [(points, '3f 3f', 'position', 'color')], triangles
    )
    try:
        frame = canvas.frame(width, height)
        mesh.render()
        view = (0, 0, width, height)
        color = frame.read(view, 3, dtype='f4')
        stored = frame.read(view, 1, attachment=-1, dtype='f4')
    finally:
        for part in (mesh, points, triangles):
            part.release()
    color = np.frombuffer(color, np.float32).reshape(height, width, 3)
    stored = np.frombuffer(stored, np.float32).reshape(height, width)
    # 0 and 1 stand for near and far, and between them 1 / z is linear.
    inverse = 1 / near - stored.astype(np.float64) * (1 / near - 1 / far)
    depth = np.where(stored < 1, 1 / inverse, np.inf).astype(np.float32)
    return color, depth


def _projection(
    K: np.ndarray, height: int, width: int, near: float, far: float
) -> np.ndarray:
    """``(4, 4)`` from the camera's axes to OpenGL's clip space.

    Rows are not turned around: OpenGL then reads the picture from our first
    row on.
    """
    matrix = np.zeros((4, 4))
    matrix[0, :3] = 2 * K[0] / width
    matrix[0, 2] -= 1
    matrix[1, :3] = 2 * K[1] / height
    matrix[1, 2] -= 1
    matrix[2, 2] = (far + near) / (far - near)
    matrix[2, 3] = -2 * far * near / (far - near)
    matrix[3, 2] = 1
    return matrix
