# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw the persons of data samples into their images.

Symbols: ``n`` persons, ``J`` joints, ``H``, ``W`` image height and width.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement, InstanceData
from mmengine.visualization import Visualizer
from torch import nn

from aios.body_models import BodyPoser
from aios.registry import VISUALIZERS
from aios.results import as_array, instance_color
from aios.structures import PARTS, Mesh, get_joint_set

from .body_meshes import body_meshes
from .drawing import draw_boxes, draw_label, draw_skeleton, line_width
from .image_file import write_image
from .rasterizer import render_meshes

__all__ = ['LAYERS', 'WholeBodyVisualizer']

LAYERS = ('mesh', 'boxes', 'skeletons')
"""Available layers, in drawing order."""


@VISUALIZERS.register_module()
class WholeBodyVisualizer(Visualizer):
    """Draw boxes of body, hands and face, skeletons and body meshes.

    Meshes need a body model, parameters with a translation, and the camera
    ``cam_K`` (3, 3) in the sample's metainfo, or the persons' own ``cameras``
    (COCO, UBody); otherwise they are left out.

    Args:
        name (str): Name of the instance.
        image (np.ndarray, optional): (H, W, 3) initial RGB image.
        vis_backends (list, optional): See MMEngine's ``Visualizer``.
        save_dir (str, optional): See MMEngine's ``Visualizer``.
        body_model (dict | nn.Module, optional): SMPL-X layer or its config,
            e.g. ``dict(type='SMPLXLayer', model_path='free')``. Built at the
            first mesh. Default: no meshes.
        panels (Sequence[Sequence[str]]): :data:`LAYERS` of each panel; panels
            are put side by side.
        joint_set (str): Convention of the field ``keypoints``.
        mesh_alpha (float): Opacity of meshes.
        supersample (int): See :func:`render_meshes`.

    Raises:
        ValueError: If ``panels`` is empty or names an unknown layer.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: np.ndarray | None = None,
        vis_backends: list | dict | None = None,
        save_dir: str | None = None,
        body_model: dict | nn.Module | None = None,
        panels: Sequence[Sequence[str]] = (LAYERS,),
        joint_set: str = 'smplx_137',
        mesh_alpha: float = 0.85,
        supersample: int = 2,
    ) -> None:
        super().__init__(name, image, vis_backends, save_dir)
        unknown = {layer for panel in panels for layer in panel} - {*LAYERS}
        if not panels or unknown:
            raise ValueError(
                f'panels must be a non-empty list of lists of {LAYERS}, got '
                f'{panels}'
            )
        self.panels = tuple(tuple(panel) for panel in panels)
        self.joint_set = get_joint_set(joint_set)
        self.mesh_alpha = mesh_alpha
        self.supersample = supersample
        self._poser = None if body_model is None else BodyPoser(body_model)

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: BaseDataElement | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | os.PathLike | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a sample; show it, write it, or pass it to the backends.

        If a sample has both, ground truth is left of predictions.

        Args:
            name (str): Identifier of the image.
            image (np.ndarray): (H, W, 3) RGB image of the sample's
                coordinates.
            data_sample (BaseDataElement, optional): With ``gt_instances``,
                ``pred_instances`` or both.
            draw_gt (bool): Whether to draw ``gt_instances``.
            draw_pred (bool): Whether to draw ``pred_instances``.
            show (bool): Open a window (needs a display).
            wait_time (float): Seconds to show the window, 0 until a key press.
            out_file (str, optional): File to write (and replace) instead of
                using the backends.
            pred_score_thr (float): Predictions with smaller ``scores`` are
                left out.
            step (int): Step number for the backends.
        """
        image = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))
        K = None
        drawn = []
        if data_sample is not None:
            K = data_sample.metainfo.get('cam_K')
            if draw_gt and 'gt_instances' in data_sample:
                persons = data_sample.gt_instances
                drawn.append(self.draw_persons(image, persons, K))
            if draw_pred and 'pred_instances' in data_sample:
                persons = data_sample.pred_instances
                if 'scores' in persons:
                    persons = persons[persons.scores >= pred_score_thr]
                drawn.append(self.draw_persons(image, persons, K))
        result = np.concatenate(drawn, axis=1) if drawn else image
        self.set_image(result)
        if show:
            self.show(result, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_image(result, out_file, overwrite=True)
        else:
            self.add_image(name, result, step)

    def draw_persons(
        self,
        image: np.ndarray,
        persons: InstanceData,
        K: Any = None,
    ) -> np.ndarray:
        """Draw persons into copies of an image, one copy per panel.

        Args:
            image (np.ndarray): (H, W, 3) uint8 RGB.
            persons (InstanceData): With any of the fields of
                :data:`aios.structures.GT_FIELDS`, and ``scores``.
            K (np.ndarray, optional): (3, 3) camera of the image. Default: the
                field ``cameras`` (n, 4) fx, fy, cx, cy per person.

        Returns:
            np.ndarray: (H, W * number of panels, 3) uint8 RGB.
        """
        panels = []
        for layers in self.panels:
            panel = image.copy()
            if 'mesh' in layers and (K is not None or 'cameras' in persons):
                panel = self._draw_meshes(panel, persons, K)
            if 'boxes' in layers:
                self._draw_boxes(panel, persons)
            if 'skeletons' in layers:
                self._draw_skeletons(panel, persons)
            panels.append(panel)
        return np.concatenate(panels, axis=1)

    def _draw_meshes(
        self, image: np.ndarray, persons: InstanceData, K: Any
    ) -> np.ndarray:
        meshes = body_meshes(persons, self._poser)
        if K is None:
            cameras = as_array(persons.cameras)
            K, meshes = _with_one_camera(meshes, cameras)
        return render_meshes(
            list(meshes.values()),
            as_array(K),
            *image.shape[:2],
            background=image,
            alpha=self.mesh_alpha,
            supersample=self.supersample,
        ).image

    def _draw_boxes(self, image: np.ndarray, persons: InstanceData) -> None:
        thickness = line_width(image)
        for part in PARTS:
            boxes = as_array(persons.get(f'{part}_bboxes', np.empty((0, 4))))
            valid = persons.get(f'{part}_valid', np.ones(len(boxes)))
            for index in np.flatnonzero(as_array(valid) > 0).tolist():
                color = instance_color(index)
                draw_boxes(image, boxes[index], color, max(1, thickness // 2))
        if 'bboxes' not in persons:
            return
        for index, box in enumerate(as_array(persons.bboxes)):
            text = str(index)
            if 'scores' in persons:
                text += f': {float(persons.scores[index]):.2f}'
            draw_boxes(image, box, instance_color(index), thickness)
            if np.isfinite(box).all():
                scale = max(0.4, 0.22 * thickness)
                draw_label(image, text, box[:2], instance_color(index), scale)

    def _draw_skeletons(
        self, image: np.ndarray, persons: InstanceData
    ) -> None:
        if 'keypoints' not in persons:
            return
        keypoints = as_array(persons.keypoints)
        shape = keypoints.shape[:2]
        visible = as_array(persons.get('keypoints_visible', np.ones(shape)))
        # Joints may be annotated without being visible.
        drawn = as_array(persons.get('keypoints_weight', visible))
        for index in range(len(persons)):
            draw_skeleton(
                image,
                keypoints[index],
                self.joint_set,
                visible=visible[index],
                drawn=np.maximum(drawn[index], visible[index]),
                thickness=line_width(image),
            )


def _with_one_camera(
    meshes: dict[int, Mesh], cameras: np.ndarray
) -> tuple[np.ndarray, dict[int, Mesh]]:
    """Shear meshes of different cameras so that one camera projects all.

    Args:
        meshes: By the person's index.
        cameras: (n, 4) fx, fy, cx, cy; meshes of persons without one are
            dropped.

    Returns:
        The camera (3, 3) of the first person, and sheared meshes.
    """
    known = [i for i in meshes if np.isfinite(cameras[i]).all()]
    common, sheared = np.ones(4), {}
    if known:
        common = cameras[known[0]].astype(float)
    for index in known:
        camera, mesh = cameras[index].astype(float), meshes[index]
        vertices = mesh.vertices.astype(float)
        offset = (camera[2:] - common[2:]) / common[:2]
        vertices[:, :2] *= camera[:2] / common[:2]
        vertices[:, :2] += offset * vertices[:, 2:]
        sheared[index] = Mesh(vertices, mesh.faces, mesh.colors)
    K = np.array(
        [[common[0], 0, common[2]], [0, common[1], common[3]], [0, 0, 1]]
    )
    return K, sheared
