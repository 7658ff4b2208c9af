# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw results over their images.

Symbols: ``n`` persons, ``H``, ``W`` image height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aios.results import FrameResult, instance_color, instance_mesh
from aios.structures import PELVIS, Mesh, convert_joints

from .drawing import draw_boxes, draw_label, draw_skeleton, line_width
from .rasterizer import render_meshes
from .views import VIEWS, SceneView

OVERLAY_LAYERS = ('mesh', 'part_boxes', 'boxes', 'skeletons')
"""Available layers, in drawing order."""

_SKELETON = 'smplx_137'


@dataclass(frozen=True)
class OverlayOptions:
    """Options of :class:`OverlayDrawer`.

    Args:
        layers: Subset of :data:`OVERLAY_LAYERS`.
        views: Panels beside the image, a subset of
            :data:`~aios.visualization.views.VIEWS`.
        mesh_alpha: Opacity of meshes.
        supersample: See :func:`~aios.visualization.render_meshes`.

    Raises:
        ValueError: If a layer or a view is unknown.
    """

    layers: Sequence[str] = ('mesh', 'boxes')
    views: Sequence[str] = ()
    mesh_alpha: float = 0.85
    supersample: int = 1

    def __post_init__(self) -> None:
        for what, given, known in (
            ('layers', self.layers, OVERLAY_LAYERS),
            ('views', self.views, VIEWS),
        ):
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise ValueError(
                    f'{what} may be {", ".join(known)}; got {unknown[0]!r}'
                )


class OverlayDrawer:
    """Draw the frames of a video, or unrelated images.

    Meshes occlude each other by depth; boxes and skeletons are drawn from far
    to near. The id of a person determines the color. The region shown by the
    panels is smoothed over time, and reset when timestamps do not increase.

    Args:
        faces: ``(F, 3)`` triangles of the field ``vertices``. Frames without
            it are drawn without meshes.
        options: What to draw.
    """

    def __init__(
        self, faces: np.ndarray, options: OverlayOptions | None = None
    ) -> None:
        self.faces = np.asarray(faces, np.int32)  # dtype of Mesh
        self.options = options or OverlayOptions()
        self._views = [SceneView(name) for name in self.options.views]
        self._last_time = -math.inf

    def __call__(self, frame: FrameResult, image: np.ndarray) -> np.ndarray:
        """Draw persons into a copy of their image.

        Args:
            frame: The persons.
            image: ``(H, W, 3)`` uint8 RGB, possibly resized.

        Returns:
            ``(H, W, 3)`` uint8 RGB; with panels ``(H, W + H // 2, 3)``.
        """
        height, width = image.shape[:2]
        scale = np.divide((width, height), frame.size)
        K = np.diag([*scale, 1.0]) @ frame.K
        drawn = np.array(image, order='C')
        meshes = self._meshes(frame)
        if 'mesh' in self.options.layers and meshes:
            drawn = render_meshes(
                meshes,
                K,
                height,
                width,
                background=drawn,
                alpha=self.options.mesh_alpha,
                supersample=self.options.supersample,
                cull=True,
            ).image
        depth = frame.instances['joints3d'][:, PELVIS, 2]
        order = np.argsort(-depth, kind='stable')
        for row in order.tolist():
            self._draw_lines(drawn, frame, row, scale)
        if not self._views:
            return drawn
        if frame.timestamp <= self._last_time:  # another video or image
            self._views = [SceneView(name) for name in self.options.views]
        self._last_time = frame.timestamp
        column = self._draw_views(frame, meshes, height)
        return np.concatenate([drawn, column], axis=1)

    def _meshes(self, frame: FrameResult) -> list[Mesh]:
        """Meshes of all persons; empty if the frame has none."""
        return [
            instance_mesh(body, self.faces, person)
            for body, person in zip(
                frame.instances.get('vertices', ()),
                frame.instances['person_id'].tolist(),
                strict=False,
            )
        ]

    def _draw_lines(
        self,
        image: np.ndarray,
        frame: FrameResult,
        row: int,
        scale: np.ndarray,
    ) -> None:
        """Boxes, label and skeleton of a person, in place."""
        person = {name: value[row] for name, value in frame.instances.items()}
        color = instance_color(int(person['person_id']))
        corners = np.tile(scale, 2)
        box = person['bboxes'] * corners
        thickness = line_width(image, box)
        if 'part_boxes' in self.options.layers:
            for name in ('lhand_bboxes', 'rhand_bboxes', 'face_bboxes'):
                fine = max(1, thickness // 2)
                draw_boxes(image, person[name] * corners, color, fine)
        if 'boxes' in self.options.layers:
            text = f'{person["person_id"]}: {person["scores"]:.2f}'
            size = max(0.4, 0.22 * thickness)
            draw_boxes(image, box, color, thickness)
            draw_label(image, text, box[:2], color, size)
        if 'skeletons' in self.options.layers:
            points = np.append(
                person['joints2d'] * scale, person['joints3d'][:, 2:], axis=1
            )
            points, _ = convert_joints(points, 'smplx_144', _SKELETON)
            pixels, depths = points[:, :2], points[:, 2]
            # Joints behind the camera have pixels as well, but mirrored.
            draw_skeleton(
                *(image, pixels, _SKELETON),
                drawn=depths > 0,
                thickness=thickness,
            )

    def _draw_views(
        self, frame: FrameResult, meshes: list[Mesh], height: int
    ) -> np.ndarray:
        """``(H, H // 2, 3)`` panels below each other."""
        heights = np.diff(
            np.linspace(0, height, len(self._views) + 1).astype(int)
        )
        return np.concatenate(
            [
                view(meshes, frame.K, frame.size, panel, max(1, height // 2))
                for view, panel in zip(
                    self._views, heights.tolist(), strict=True
                )
            ]
        )
