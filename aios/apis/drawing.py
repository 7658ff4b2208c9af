# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results over their pictures."""

from __future__ import annotations

import numpy as np

from aios.export import FrameResult
from aios.structures import convert_joints
from aios.visualization import Mesh, render_meshes
from aios.visualization.drawing import draw_boxes, draw_label, draw_skeleton
from aios.visualization.palette import instance_color

__all__ = ['draw_frame', 'resize_frame']


def draw_frame(
    frame: FrameResult, image: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Draw the people of a frame; who keeps the id keeps the colour.

    Args:
        frame: People; meshes are drawn if it has vertices.
        image: ``(H, W, 3)`` uint8 RGB, the frame or a reduction of it.
        faces: ``(F, 3)`` triangles.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    height, width = image.shape[:2]
    frame = resize_frame(frame, (width, height))
    people, ids = frame.people, frame.people['person_id'].tolist()
    drawn = image.copy()
    if 'vertices' in people:
        meshes = [
            Mesh(vertices, faces, np.divide(instance_color(person), 255))
            for person, vertices in zip(ids, people['vertices'], strict=True)
        ]
        drawn = render_meshes(
            meshes, frame.K, height, width, background=image, alpha=0.85
        ).image
    thickness = max(1, round(min(height, width) / 300))
    points, _ = convert_joints(people['joints2d'], 'smplx_144', 'smplx_137')
    for i, person in enumerate(ids):
        draw_skeleton(drawn, points[i], 'smplx_137', thickness=thickness)
        color, box = instance_color(person), people['bboxes'][i]
        draw_boxes(drawn, box, color, thickness)
        text = f'{person}: {people["scores"][i]:.2f}'
        draw_label(drawn, text, box[:2], color, max(0.4, 0.22 * thickness))
    return drawn


def resize_frame(frame: FrameResult, size: tuple[int, int]) -> FrameResult:
    """The same people in a picture of another size.

    Args:
        frame: People.
        size: ``(width, height)``.
    """
    if size == frame.size:
        return frame
    scale = np.divide(size, frame.size)
    people = dict(frame.people)
    for name, value in people.items():
        if name.endswith('bboxes'):
            people[name] = value * np.tile(scale, 2)
        elif name in ('joints2d', 'keypoints'):
            people[name] = value * scale
    return FrameResult(
        frame.name,
        frame.source_frame,
        frame.timestamp,
        np.diag([*scale, 1]) @ frame.K,
        size,
        people,
    )
