# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Exact labels of a rendered scene, one row per person.

Positions come from the body model, visibility from the depth and id buffers
of the image.

Symbols: ``N`` labeled persons, ``V`` vertices, ``F`` faces.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import Camera, Mesh, convert_joints
from aios.synthetic.bodies import BodyBank, smplx_parameters
from aios.synthetic.persons import Person
from aios.synthetic.rendering import Photograph, draw, facing_area
from aios.synthetic.scene import Scene
from aios.synthetic.views import View

DROP_RULES = {
    'outside_image': 'no pixel of the person is inside the image',
    'barely_visible': 'fewer than 40 visible pixels, or less than 4 % of '
    'the surface that faces the camera is visible',
}
# Box key of the HumanData format -> part of the template.
PART_BOXES = {
    'lhand_bbox_xywh': 'left_hand',
    'rhand_bbox_xywh': 'right_hand',
    'face_bbox_xywh': 'face',
}
_MIN_PIXELS = 40
_MIN_SHARE = 0.04
_MIN_PART_SHARE = 0.1
_LANDMARKS = slice(76, 144)
# Largest depth of visible joints below the surface, meters.
_JOINT_DEPTH = np.full(144, 0.02)
_JOINT_DEPTH[:22] = 0.14
_JOINT_DEPTH[[7, 8, 10, 11, 18, 19, 20, 21]] = 0.06
_JOINT_DEPTH[22:25] = 0.06
_JOINT_DEPTH[25:55] = 0.025


def camera_parameters(
    person: Person, view: View, hand_mean: np.ndarray
) -> dict[str, np.ndarray]:
    """SMPL-X parameters of a placed person in the camera frame.

    Args:
        person: The person.
        view: The camera.
        hand_mean: ``(2, 15, 3)`` mean hand poses of the model.

    Returns:
        :func:`~aios.synthetic.bodies.smplx_parameters` with ``global_orient``
        and ``transl`` ``(3,)`` in the camera frame, meters.
    """
    body = person.body
    parameters = smplx_parameters(body.figure, hand_mean)
    turn = Rotation.from_euler('y', person.heading).as_matrix()
    root = Rotation.from_rotvec(body.figure.pose.root).as_matrix()
    offset = np.array([person.position[0], 0.0, person.position[1]])
    orient = Rotation.from_matrix(view.rotation @ turn @ root).as_rotvec()
    # Root rotations are about the pelvis, which is only translated.
    pelvis = view.to_camera(turn @ (body.pelvis + body.drop) + offset)
    parameters['global_orient'] = orient.astype(np.float32)
    parameters['transl'] = (pelvis - body.pelvis).astype(np.float32)
    return parameters


def _box(
    pixels: np.ndarray,
    vertices: np.ndarray | slice,
    faces: np.ndarray,
    camera: Camera,
) -> np.ndarray:
    """Tight box x, y, w, h of the part of a mesh inside the image.

    Args:
        pixels: ``(V, 2)`` projected vertices.
        vertices: Vertices of the part.
        faces: ``(F, 3)`` triangles between them.
        camera: Image size.

    Returns:
        ``(4,)``; width and height are zero if nothing is inside.
    """
    size = np.array([camera.width, camera.height], float)
    points = pixels[vertices]
    x, y = pixels.T
    inside = (x >= 0) & (x <= size[0]) & (y >= 0) & (y <= size[1])
    if not inside[vertices].all():
        kept = points[inside[vertices]]
        crossings = _border_points(pixels, faces, inside, size)
        points = np.concatenate([kept, crossings])
    if len(points) == 0:
        return np.zeros(4)
    low, high = points.min(0), points.max(0)
    return np.concatenate([low, high - low])


def _border_points(
    pixels: np.ndarray, faces: np.ndarray, inside: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """``(N, 2)`` intersections of edges with the border of the image."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, ::2]])
    crossing = edges[inside[edges[:, 0]] != inside[edges[:, 1]]]
    swap = inside[crossing[:, 1]]
    crossing[swap] = crossing[swap, ::-1]
    start, step = pixels[crossing[:, 0]], np.diff(pixels[crossing], axis=1)
    step = step[:, 0]
    border = np.where(step > 0, size, 0.0)
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.where(step == 0, np.inf, (border - start) / step)
    share = np.minimum(share.min(1), 1.0)
    return np.clip(start + share[:, None] * step, 0, size)


def _point_box(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Box x, y, w, h of points, clipped to the image."""
    size = [camera.width, camera.height]
    low = np.clip(points.min(0), 0, size)
    high = np.clip(points.max(0), 0, size)
    return np.concatenate([low, high - low])


def visible_share(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    photograph: Photograph,
    index: int,
) -> float:
    """Visible share of a surface.

    Args:
        vertices: ``(V, 3)`` in the camera frame, meters.
        faces: ``(F, 3)`` counter-clockwise from outside.
        camera: Intrinsics and size.
        photograph: Depth and id buffers.
        index: Id of the person.

    Returns:
        Projected area of the visible triangles over that of all triangles
        that face the camera, 0 to 1; surfaces outside the image are not
        visible.
    """
    area = facing_area(camera.project(vertices), faces)
    facing = area > 0
    total = area[facing].sum()
    if total <= 0:
        return 0.0
    corners = faces[facing]
    center = sum(vertices[corners[:, k]] for k in range(3)) / 3
    tolerance = 0.012 + 2 * center[:, 2] / camera.focal[0]
    seen = _is_seen(center, tolerance, camera, photograph, index)
    return float((area[facing] * seen).sum() / total)


def _is_seen(
    points: np.ndarray,
    tolerance: np.ndarray,
    camera: Camera,
    photograph: Photograph,
    index: int,
    reach: int = 0,
) -> np.ndarray:
    """Whether camera-frame points are on the visible surface of a person.

    Args:
        points: ``(N, 3)``.
        tolerance: ``(N,)`` allowed depth below the surface, meters.
        camera: Intrinsics and size.
        photograph: Buffers.
        index: Id of the person.
        reach: Also search the neighborhood of this radius, pixels.

    Returns:
        ``(N,)`` bool.
    """
    pixel = np.floor(camera.project(points)).astype(np.int64)
    size = np.array([camera.width, camera.height])
    x, y = pixel.T
    inside = (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    seen = np.zeros(len(points), bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            x, y = np.clip(pixel + [dx, dy], 0, size - 1).T
            seen |= (photograph.ids[y, x] == index) & (
                points[:, 2] <= photograph.depth[y, x] + tolerance
            )
    return seen & inside


def _unoccluded_pixels(
    row: _Row, camera: Camera, photograph: Photograph, visible: int
) -> int:
    """Number of pixels of a person without any occluder."""
    x, y, w, h = row.box
    window = photograph.ids[
        int(y) : int(np.ceil(y + h)) + 1, int(x) : int(np.ceil(x + w)) + 1
    ]
    if not ((window != row.index) & (window >= 0)).any():
        return visible  # no occluder in the box
    front = row.faces[facing_area(row.pixels, row.faces) > 0]
    mesh = Mesh(row.vertices, front, np.ones(3, np.float32))
    result = draw([mesh], camera)
    return int((result.ids >= 0).sum())


@dataclass(frozen=True)
class _Row:
    """A person's mesh in the camera frame, and its box in the image."""

    index: int
    person: Person
    vertices: np.ndarray
    pixels: np.ndarray
    faces: np.ndarray
    box: np.ndarray


def _visibility(
    row: _Row, camera: Camera, photograph: Photograph
) -> tuple[str | None, float, float]:
    """Drop rule (or ``None``), occlusion in percent and visible share."""
    visible = int((photograph.ids == row.index).sum())
    total = _unoccluded_pixels(row, camera, photograph, visible)
    if total == 0:
        return 'outside_image', 100.0, 0.0
    occluded = 100.0 * (1 - visible / total)
    # Every fourth triangle suffices for the share of a whole body.
    share = visible_share(
        row.vertices, row.faces[::4], camera, photograph, row.index
    )
    few = visible < _MIN_PIXELS or share < _MIN_SHARE
    return ('barely_visible' if few else None), occluded, share


def _part_boxes(
    row: _Row,
    joints: np.ndarray,
    bank: BodyBank,
    camera: Camera,
    photograph: Photograph,
) -> dict[str, np.ndarray]:
    """``(5,)`` boxes of hands and face; zeros if at most 10 % is visible."""
    template = bank.template(row.person.body.figure.gender)
    boxes = {}
    for key, part in PART_BOXES.items():
        box = np.zeros(5)
        faces = row.faces[template.part_faces[part]]
        share = visible_share(
            row.vertices, faces, camera, photograph, row.index
        )
        if part == 'face':
            tight = _point_box(camera.project(joints[_LANDMARKS]), camera)
        else:
            tight = _box(
                row.pixels, template.part_vertices[part], faces, camera
            )
        if share > _MIN_PART_SHARE and (tight[2:] > 1).all():
            box[:4], box[4] = tight, 1
        boxes[key] = box
    return boxes


def _joint_labels(
    row: _Row, joints: np.ndarray, camera: Camera, photograph: Photograph
) -> dict[str, np.ndarray]:
    """2-D, 3-D and visible joints in the 190-joint convention."""
    pixels = camera.project(joints)
    ones = np.ones((144, 1))
    tolerance = _JOINT_DEPTH + joints[:, 2] / camera.focal[0]
    seen = _is_seen(joints, tolerance, camera, photograph, row.index, 1)
    arrays = {
        'keypoints2d_smplx': np.concatenate([pixels, ones], 1),
        'keypoints3d_smplx': np.concatenate([joints, ones], 1),
        'keypoints2d_smplx_visible': seen[:, None].astype(np.float64),
    }
    return {
        key: convert_joints(value, 'smplx_144', 'human_data')[0]
        for key, value in arrays.items()
    }


def label_scene(
    scene: Scene, bank: BodyBank, photograph: Photograph
) -> tuple[dict[str, np.ndarray], Counter]:
    """Labels all visible persons.

    Args:
        scene: The scene.
        bank: Body models.
        photograph: Its image with depth and id buffers.

    Returns:
        Arrays with ``N`` rows, keyed as in the HumanData format, with
        ``smplx/...`` and ``meta/...`` for the nested dicts, and numbers of
        persons dropped by each of :data:`DROP_RULES`.
    """
    camera = scene.view.camera
    counts: Counter = Counter()
    rows, visibilities = [], []
    for index, person in enumerate(scene.persons):
        vertices = scene.view.to_camera(person.vertices)
        pixels = camera.project(vertices)
        faces = bank.template(person.body.figure.gender).faces
        box = _box(pixels, slice(None), faces, camera)
        row = _Row(index, person, vertices, pixels, faces, box)
        rule, occluded, share = _visibility(row, camera, photograph)
        if rule is not None:
            counts[rule] += 1
            continue
        rows.append(row)
        visibilities.append((occluded, share))
    if not rows:
        return {}, counts
    genders = [r.person.body.figure.gender for r in rows]
    parameters = [
        camera_parameters(r.person, scene.view, bank.template(g).hand_mean)
        for r, g in zip(rows, genders, strict=True)
    ]
    # Recompute joints from the stored parameters, since contour landmarks
    # depend on the orientation of the head in the camera.
    joints = bank.joints(genders, parameters)
    records = []
    for row, values, points, (occluded, share) in zip(
        rows, parameters, joints, visibilities, strict=True
    ):
        points = points.astype(np.float64)
        record: dict[str, Any] = {
            f'smplx/{key}': value for key, value in values.items()
        }
        record['bbox_xywh'] = np.append(row.box, 1.0)
        record.update(_part_boxes(row, points, bank, camera, photograph))
        record.update(_joint_labels(row, points, camera, photograph))
        record.update(_meta(row, camera, occluded, share))
        records.append(record)
    return {
        key: _stack([r[key] for r in records]) for key in records[0]
    }, counts


def _meta(
    row: _Row, camera: Camera, occluded: float, share: float
) -> dict[str, Any]:
    return {
        'meta/gender': row.person.body.figure.gender,
        'meta/height': camera.height,
        'meta/width': camera.width,
        'meta/focal_length': camera.focal,
        'meta/principal_point': camera.principal_point,
        'meta/occ': occluded,
        'meta/visible': share,
        'meta/is_kid': 0,
        'meta/smplx_valid': 1,
        'meta/person_id': row.index,
        'meta/pose': row.person.body.figure.pose.posture,
        'meta/gesture': row.person.body.figure.pose.gesture,
    }


def _stack(values: list) -> np.ndarray:
    array = np.stack([np.asarray(v) for v in values])
    return array.astype(np.float32) if array.dtype == np.float64 else array
