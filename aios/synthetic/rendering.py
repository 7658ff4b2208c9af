# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rendering of a scene to an image, a depth buffer and an id buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from aios.structures import Camera, Mesh
from aios.synthetic.appearance import dress_body
from aios.synthetic.backgrounds import photo_background, render_surroundings
from aios.synthetic.bodies import BodyBank
from aios.synthetic.clothing import dress_person, sample_garb
from aios.synthetic.environments import develop_background
from aios.synthetic.lighting import shade
from aios.synthetic.scene import Scene
from aios.synthetic.shadows import floor_shadow
from aios.visualization import RenderResult, render_meshes

_NEAR = 0.05  # meters; closer surfaces are clipped and show their inside


@dataclass(frozen=True)
class Photograph:
    """A rendered scene.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB.
        depth: ``(H, W)`` float32 meters, ``inf`` where nothing was drawn.
        ids: ``(H, W)`` int16: index of the person, -1 background, larger
            than the number of persons for furniture.
    """

    image: np.ndarray
    depth: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True)
class Backdrop:
    """The image without persons.

    Attributes:
        image: ``(H, W, 3)`` float RGB in 0..1.
        floor: ``(H, W)`` float32 strength of shadows at each pixel.
        gain: ``(3,)`` exposure of the light of an environment.
    """

    image: np.ndarray
    floor: np.ndarray
    gain: np.ndarray | None = None


def background_image(rng: np.random.Generator, scene: Scene) -> Backdrop:
    """The image without persons.

    Args:
        rng: Random generator (crop of a photograph).
        scene: The scene.

    Raises:
        ValueError: If the scene has no background.
    """
    camera, environment = scene.view.camera, scene.environment
    gain = None if environment is None else environment.gain()
    if scene.photo is not None:
        image = photo_background(rng, scene.photo, camera.width, camera.height)
        floor = np.full(image.shape[:2], 0.5, np.float32)
        return Backdrop(image, floor, gain)
    if scene.surroundings is None:
        if environment is None:
            raise ValueError(
                'a scene needs a background, a photo or an environment'
            )
        encoded, floor = environment.look(scene.view)
        gain = environment.gain(encoded)
        return Backdrop(develop_background(encoded, gain), floor, gain)
    image, floor = render_surroundings(scene.surroundings, scene.view)
    light = scene.lighting
    bright = np.clip(light.sky + 0.55 * light.key, 0.6, 1.15)
    return Backdrop(image * bright.astype(np.float32), floor, gain)


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
    # y is down in pixels, so triangles that face the camera are clockwise.
    return 0.5 * ((y[b] - ya) * (x[c] - xa) - (x[b] - xa) * (y[c] - ya))


class _Painter:
    """Shaded meshes of a scene, without back faces."""

    def __init__(self, scene: Scene, gain: np.ndarray | None) -> None:
        self.scene, self.gain = scene, gain

    def mesh(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        faces: np.ndarray,
        colors: np.ndarray,
    ) -> Mesh:
        """Shaded mesh of a surface, in camera coordinates."""
        view, environment = self.scene.view, self.scene.environment
        if environment is None or self.gain is None:
            lit = shade(colors, normals, self.scene.lighting)
        else:
            lit = environment.shade(colors, normals, self.gain)
        points = view.to_camera(vertices)
        # Removing back faces saves a third of the rendering time.
        area = facing_area(view.camera.project(points), faces)
        behind = points[:, 2].min() < _NEAR
        return Mesh(points, faces if behind else faces[area > 0], lit)

    def objects(self, seat_colors: list[np.ndarray]) -> list[Mesh]:
        """Seats and obstacles."""
        seats = [
            (person.seat.mesh(), color)
            for person, color in zip(
                self.scene.persons, seat_colors, strict=True
            )
            if person.seat is not None
        ]
        meshes = [
            self.mesh(v, n, f, np.tile(color, (len(v), 1)))
            for (v, f, n), color in seats
        ]
        return meshes + [
            self.mesh(o.vertices, o.normals, o.faces, o.colors)
            for o in self.scene.obstacles
        ]

    def persons(self, rng: np.random.Generator, bank: BodyBank) -> list[Mesh]:
        """Persons in clothes that are painted or, if dressed, have volume."""
        meshes = []
        for person, outfit in zip(
            self.scene.persons, self.scene.outfits, strict=True
        ):
            template = bank.template(person.body.figure.gender)
            vertices, normals = person.vertices, person.normals
            shade = np.ones(1, np.float32)
            if self.scene.dressed:
                garb = sample_garb(rng, template, outfit)
                vertices, normals = dress_person(
                    garb, vertices, normals, template.faces
                )
                colors, shade = garb.colors, garb.shade[:, None]
            else:
                colors, _ = dress_body(template, outfit)
            mesh = self.mesh(vertices, normals, template.faces, colors)
            meshes.append(Mesh(mesh.vertices, mesh.faces, mesh.colors * shade))
        return meshes

    def unshaded(self, bank: BodyBank) -> list[Mesh]:
        """Bodies of persons without clothes, colors and shading."""
        view, white = self.scene.view, np.ones(3, np.float32)
        return [
            Mesh(
                view.to_camera(person.vertices),
                bank.template(person.body.figure.gender).faces,
                white,
            )
            for person in self.scene.persons
        ]


def render_scene(
    rng: np.random.Generator,
    scene: Scene,
    bank: BodyBank,
    *,
    supersample: int = 2,
    base: Backdrop | None = None,
) -> Photograph:
    """Renders a scene.

    Depths and ids are always those of the bodies without clothes.

    Args:
        rng: Random generator for colors of furniture, clothes and noise.
        scene: The scene.
        bank: Body models.
        supersample: Samples per pixel side, for smooth outlines.
        base: Result of :func:`background_image`, to reuse it in a sequence.

    Returns:
        The photograph before :func:`finish_image`.
    """
    camera = scene.view.camera
    base = base or background_image(rng, scene)
    on_floor = [p.vertices for p in scene.persons]
    on_floor += [o.vertices for o in scene.obstacles]
    light = floor_shadow(scene.view, on_floor, scene.lighting)
    image = base.image * (1 - base.floor * (1 - light))[..., None]
    painter = _Painter(scene, base.gain)
    seat_colors = [
        rng.uniform(0.15, 0.8) * np.array([1.0, 0.85, 0.7])
        for _ in scene.persons
    ]
    objects = painter.objects(seat_colors)
    persons = painter.persons(rng, bank)
    image = np.clip(image, 0, 1).astype(np.float32)
    if not scene.dressed:
        result = draw(
            persons + objects,
            camera,
            background=image,
            supersample=supersample,
        )
        return Photograph(result.image, result.depth, result.ids)
    bodies = draw(painter.unshaded(bank) + objects, camera, cull=True)
    dressed = _draw_supersampled(persons + objects, camera, image, supersample)
    return Photograph(dressed, bodies.depth, bodies.ids)


def draw(meshes: list[Mesh], camera: Camera, **options: Any) -> RenderResult:
    """Render meshes with their own colors.

    Args:
        meshes: The meshes.
        camera: The camera.
        **options: Of :func:`aios.visualization.render_meshes`.
    """
    return render_meshes(
        meshes,
        camera.K,
        camera.height,
        camera.width,
        shaded=False,
        **options,
    )


def _draw_supersampled(
    meshes: list[Mesh], camera: Camera, image: np.ndarray, scale: int
) -> np.ndarray:
    """Render meshes over an image, without depth and id buffers.

    Args:
        meshes: The meshes.
        camera: The camera.
        image: ``(H, W, 3)`` float32 RGB in 0..1.
        scale: Samples per pixel side.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    size = camera.width * scale, camera.height * scale
    K = np.diag([scale, scale, 1.0]) @ camera.K
    fine = Camera(K, size[1], size[0])
    below = cv2.convertScaleAbs(image, alpha=255)
    background = cv2.resize(below, size, interpolation=cv2.INTER_NEAREST)
    result = draw(meshes, fine, background=background)
    small = (camera.width, camera.height)
    return cv2.resize(result.image, small, interpolation=cv2.INTER_AREA)


def finish_image(
    rng: np.random.Generator,
    image: np.ndarray,
    grain_rng: np.random.Generator,
) -> np.ndarray:
    """Adds effects of a camera: exposure, tint, vignette, blur and noise.

    Args:
        rng: Random generator.
        image: ``(H, W, 3)`` uint8 RGB.
        grain_rng: Generator of the grain, the only effect that changes in a
            sequence.

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
    grain = grain_rng.standard_normal((h, w, 1), np.float32)
    out += noise * grain
    return np.clip(out, 0, 255).astype(np.uint8)
