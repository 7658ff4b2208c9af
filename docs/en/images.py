# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw the images of ``tokens.md`` and ``conventions.md``.

python docs/en/images.py docs/en/images
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from aios.body_models import SMPLXLayer
from aios.structures import (
    BODY_LOCALIZATION,
    BODY_REFINEMENT,
    WHOLE_BODY,
    Camera,
    Mesh,
    TokenLayout,
    get_joint_set,
    joint_mapping,
)
from aios.visualization import render_meshes

mpl.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

_HEIGHT, _WIDTH = 640, 520
_CAMERA = Camera.from_focal(1500.0, (_WIDTH, _HEIGHT))
_POSE = {  # axis-angle, radians
    'left_shoulder': (0, 0, -0.5),
    'right_shoulder': (0, 0.9, 0.9),
    'left_elbow': (0, -1.1, 0.0),
    'right_elbow': (0, 1.3, 0),
    'left_hip': (-0.3, 0, 0.15),
    'right_hip': (0, 0, -0.1),
    'left_knee': (0.4, 0, 0),
}
_COLORS = {
    'body': '#d1495b',
    'left_hand': '#e0a100',
    'right_hand': '#00798c',
    'face': '#8e3b8f',
}
# From each part of the layout to the joints that it is drawn at.
_POINTS = {
    'body_keypoints': 'coco',
    'left_hand_keypoints': 'left_hand_6',
    'right_hand_keypoints': 'right_hand_6',
    'face_keypoints': 'face_6',
}


class _Person:
    """A posed free body before a camera, and its joints in the image."""

    def __init__(self) -> None:
        layer = SMPLXLayer('free', flat_hand_mean=False)
        names = get_joint_set('smplx_55').names[1:22]
        pose = torch.zeros(1, 21, 3)
        for name, rotation in _POSE.items():
            pose[0, names.index(name)] = torch.tensor(rotation)
        out = layer(
            betas=torch.zeros(1, 10),
            body_pose=pose.flatten(1),
            global_orient=torch.tensor([[np.pi, 0, 0]]).float(),
            transl=torch.tensor([[0.0, 0.27, 4.6]]),
        )
        self.joints = out.joints[0].numpy()
        mesh = Mesh(
            out.vertices[0].numpy(),
            layer.faces.numpy(),
            np.full((out.vertices.shape[1], 3), 0.72, np.float32),
        )
        self.image = render_meshes(
            [mesh],
            _CAMERA.K,
            _HEIGHT,
            _WIDTH,
            background=np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8),
            supersample=2,
        ).image
        self.vertices = mesh.vertices

    def points(self, joint_set: str) -> np.ndarray:
        """``(J, 2)`` pixels of the joints that this person has."""
        index = joint_mapping('smplx_144', joint_set, approximate=True)
        seen = self.joints[index[index >= 0]] @ _CAMERA.K.T
        return seen[:, :2] / seen[:, 2:]

    def box(self, part: str) -> np.ndarray:
        """``(4,)`` corners of a part's box."""
        if part == 'body':
            seen = self.vertices @ _CAMERA.K.T
            points = seen[:, :2] / seen[:, 2:]
        else:
            points = self.points(f'{part}_6')
        margin = 0 if part == 'body' else 9
        return np.concatenate([points.min(0) - margin, points.max(0) + margin])


def _draw_tokens(axis: plt.Axes, person: _Person, layout: TokenLayout) -> None:
    axis.imshow(person.image)
    for part in layout.parts:
        limb = part.name.rsplit('_', 1)[0]
        color = _COLORS[limb]
        if part.is_box:
            x0, y0, x1, y1 = person.box(limb)
            axis.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=color)
            )
        else:
            points = person.points(_POINTS[part.name])
            axis.scatter(*points.T, s=9, color=color)
    boxes = int(layout.is_box.sum())
    points = len(layout) - boxes
    axis.set_title(
        f'{layout.name.replace("_", " ")}\n'
        f'{boxes} box{"es"[: 2 * (boxes > 1)]} + {points} points'
        f' = {len(layout)} token{"s"[: len(layout) > 1]}'
    )
    axis.set(xlim=(0, _WIDTH), ylim=(_HEIGHT, 0))
    axis.axis('off')


def draw_tokens(person: _Person) -> plt.Figure:
    """The tokens of the three stages."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.9), dpi=100)
    layouts = (BODY_LOCALIZATION, BODY_REFINEMENT, WHOLE_BODY)
    for axis, layout in zip(axes, layouts, strict=True):
        _draw_tokens(axis, person, layout)
    return figure


def draw_attention() -> plt.Figure:
    """Who attends to whom, for three persons."""
    figure, axis = plt.subplots(figsize=(4.2, 4.4), dpi=100)
    axis.imshow(WHOLE_BODY.attention_allowed(3), cmap='Blues', vmax=1.4)
    ticks = (np.arange(3) + 0.5) * len(WHOLE_BODY)
    labels = [f'person {i}' for i in range(3)]
    axis.set_xticks(ticks, labels)
    axis.set_yticks(ticks, labels, rotation=90, va='center')
    axis.tick_params(length=0)
    axis.set(xlabel='is seen', ylabel='sees')
    return figure


def draw_conventions(person: _Person) -> plt.Figure:
    """Camera axes, joint sets, pixels."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 4.4), dpi=100)
    axis = axes[0]
    axis.imshow(person.image, alpha=0.6)
    pelvis = person.joints[0]
    for end, name, color in zip(
        np.eye(3), 'xyz', ('#d1495b', '#2a9d3a', '#1f5fbf'), strict=True
    ):
        line = np.stack([pelvis, pelvis + 0.55 * end]) @ _CAMERA.K.T
        line = line[:, :2] / line[:, 2:]
        if name == 'z':  # away from the camera: hardly a line
            axis.scatter(*line[0], s=90, color=color, marker='x')
            axis.annotate('z (away)', line[0] + [-105, -12], color=color)
            continue
        axis.annotate(
            '', line[1], line[0], arrowprops=dict(color=color, width=2)
        )
        axis.annotate(name, line[1] + 8, color=color)
    axis.set_title('camera axes, at the pelvis')
    axis = axes[1]
    axis.imshow(person.image, alpha=0.6)
    axis.scatter(
        *person.points('smplx_137').T, s=8, color='#1f5fbf', label='smplx_137'
    )
    axis.scatter(
        *person.points('coco').T, s=42, facecolor='none', color='#d1495b',
        label='coco',
    )  # fmt: skip
    axis.legend(loc='lower right', frameon=False)
    axis.set_title('two joint sets')
    for axis in axes[:2]:
        axis.set(xlim=(0, _WIDTH), ylim=(_HEIGHT, 0))
        axis.axis('off')
    axis = axes[2]
    axis.imshow(np.indices((3, 4)).sum(0) % 2, cmap='Grays', vmax=6,
                extent=(0, 4, 3, 0))  # fmt: skip
    axis.scatter(0.5, 0.5, color='#d1495b')
    axis.annotate('center of the first\npixel: (0.5, 0.5)', (0.62, 0.75))
    axis.scatter(2.0, 1.5, color='#1f5fbf')
    axis.annotate('middle of a 4 × 3\nimage: (2, 1.5)', (2.1, 1.8))
    axis.set_xticks(range(5))
    axis.set_yticks(range(4))
    axis.xaxis.tick_top()
    axis.set_title('pixels', pad=22)
    return figure


def main(folder: Path) -> None:
    """Write the images into a folder."""
    person = _Person()
    figures = {
        'tokens.png': draw_tokens(person),
        'attention.png': draw_attention(),
        'conventions.png': draw_conventions(person),
    }
    for name, figure in figures.items():
        figure.tight_layout()
        figure.savefig(folder / name, pil_kwargs=dict(optimize=True))


if __name__ == '__main__':
    main(Path(sys.argv[1]))
