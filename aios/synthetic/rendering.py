# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Turns a scene into a picture, a depth buffer and an id buffer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from aios.synthetic.appearance import paint_body
from aios.synthetic.backgrounds import photo_background, render_surroundings
from aios.synthetic.bodies import BodyBank
from aios.synthetic.lighting import shade
from aios.synthetic.scene import Scene
from aios.synthetic.shadows import floor_shadow
from aios.visualization import Mesh, render_meshes

__all__ = [
    'Photograph',
    'background_picture',
    'facing_area',
    'finish_picture',
    'render_scene',
]


@dataclass(frozen=True)
class Photograph:
    """A rendered scene.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        depth: ``(H, W)`` float32 metres, ``inf`` where nothing was drawn.
        ids: ``(H, W)`` int16: index of the person, -1 background, larger
            than the number of people for furniture.
    """

    image: np.ndarray
    depth: np.ndarray
    ids: np.ndarray


def background_picture(
    rng: np.random.Generator, scene: Scene
) -> tuple[np.ndarray, np.ndarray]:
    """The picture without people.

    Args:
        rng: Random generator (crop of a photograph).
        scene: The scene.

    Returns:
        ``(H, W, 3)`` float RGB in 0..1 and the ``(H, W)`` float32 share of
        a shadow that each pixel takes.
    """
    camera = scene.view.camera
    if scene.photo is not None:
        image = photo_background(rng, scene.photo, camera.width, camera.height)
        floor = np.full(image.shape[:2], 0.5, np.float32)
        return image, floor
    if scene.surroundings is None:
        raise ValueError('a scene needs surroundings or a photo')
    image, floor = render_surroundings(scene.surroundings, scene.view)
    light = scene.lighting
    gain = np.clip(light.sky + 0.55 * light.key, 0.6, 1.15)
    return image * gain.astype(np.float32), floor


def facing_area(pixels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Signed projected area of triangles.

    Args:
        pixels: ``(V, 2)`` projected vertices.
        faces: ``(F, 3)`` counter-clockwise seen from outside.

    Returns:
        ``(F,)`` square pixels, positive where the outside faces the camera.
    """
    x, y = np.ascontiguousarray(pixels.T)
    a, b, c = np.ascontiguousarray(faces.T)
    xa, ya = x[a], y[a]
    # Pixels have y down, so triangles that face the camera turn clockwise.
    return 0.5 * ((y[b] - ya) * (x[c] - xa) - (x[b] - xa) * (y[c] - ya))


def _meshes(
    scene: Scene,
    bank: BodyBank,
    colors: list[np.ndarray],
    seat_colors: list[np.ndarray],
) -> list[Mesh]:
    people, seats = [], []
    for person, paint, wood in zip(
        scene.people, colors, seat_colors, strict=True
    ):
        lit = shade(paint, person.normals, scene.lighting)
        faces = bank.template(person.body.figure.gender).faces
        vertices = scene.view.to_camera(person.vertices)
        # The far side is never seen: a third of the drawing time.
        area = facing_area(scene.view.camera.project(vertices), faces)
        people.append(Mesh(vertices, faces[area > 0], lit))
        if person.seat is not None:
            vertices, faces, normals = person.seat.mesh()
            lit = shade(
                np.tile(wood, (len(vertices), 1)), normals, scene.lighting
            )
            seats.append(Mesh(scene.view.to_camera(vertices), faces, lit))
    return people + seats


def render_scene(
    rng: np.random.Generator,
    scene: Scene,
    bank: BodyBank,
    *,
    supersample: int = 2,
    base: tuple[np.ndarray, np.ndarray] | None = None,
) -> Photograph:
    """Renders a scene.

    Args:
        rng: Random generator for colours of furniture and noise.
        scene: The scene.
        bank: Body models.
        supersample: Samples per pixel side, for smooth outlines.
        base: Background and floor mask of :func:`background_picture`, to
            keep them over a sequence.

    Returns:
        The photograph before :func:`finish_picture`.
    """
    camera = scene.view.camera
    image, floor = base or background_picture(rng, scene)
    on_floor = [p.vertices for p in scene.people]
    light = floor_shadow(scene.view, on_floor, scene.lighting)
    image = image * (1 - floor * (1 - light))[..., None]
    paints = [
        paint_body(bank.template(p.body.figure.gender), outfit)
        for p, outfit in zip(scene.people, scene.outfits, strict=True)
    ]
    woods = [
        rng.uniform(0.15, 0.8) * np.array([1.0, 0.85, 0.7])
        for _ in scene.people
    ]
    result = render_meshes(
        _meshes(scene, bank, paints, woods),
        camera.K,
        camera.height,
        camera.width,
        background=np.clip(image, 0, 1).astype(np.float32),
        shaded=False,
        supersample=supersample,
        backend='cpu',  # the same everywhere
    )
    return Photograph(result.image, result.depth, result.ids)


def finish_picture(
    rng: np.random.Generator,
    image: np.ndarray,
    grain_rng: np.random.Generator | None = None,
) -> np.ndarray:
    """What a camera adds: exposure, tint, vignette, softness and noise.

    Args:
        rng: Random generator.
        image: ``(H, W, 3)`` uint8 RGB.
        grain_rng: Generator of the grain, if the rest must not change over
            a sequence.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    h, w = image.shape[:2]
    gain = rng.uniform(0.85, 1.15) * (1 + rng.normal(0, 0.03, 3))
    gamma = rng.uniform(0.85, 1.15)
    vignette, soft = rng.uniform(0, 0.25), rng.uniform(0, 0.7)
    noise = rng.uniform(0.5, 4.0)
    table = np.arange(256)[:, None] / 255.0
    table = np.clip(255 * np.clip(gain * table, 0, 1) ** gamma, 0, 255)
    curves = table.astype(np.float32).reshape(1, 256, 3)
    out: np.ndarray = np.asarray(cv2.LUT(image, curves))
    y = (np.arange(h, dtype=np.float32) / h - 0.5)[:, None] ** 2
    x = (np.arange(w, dtype=np.float32) / w - 0.5)[None] ** 2
    out *= (1 - vignette * 2 * (x + y))[..., None]
    if soft > 0.3:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), soft))
    grain = (grain_rng or rng).standard_normal((h, w, 1), np.float32)
    out += noise * grain
    return np.clip(out, 0, 255).astype(np.uint8)
