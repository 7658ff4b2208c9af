# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fake ONNX Runtime sessions; this file does not import PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

SHAPES = {
    'logits': (2,),
    'body_box': (4,),
    'left_hand_box': (4,),
    'right_hand_box': (4,),
    'face_box': (4,),
    'body_keypoints': (17, 2),
    'left_hand_keypoints': (6, 2),
    'right_hand_keypoints': (6, 2),
    'face_keypoints': (6, 2),
    'body_pose': (22, 3, 3),
    'left_hand_pose': (15, 3, 3),
    'right_hand_pose': (15, 3, 3),
    'jaw_pose': (1, 3, 3),
    'betas': (10,),
    'expression': (10,),
    'camera': (3,),
}
"""Outputs of an exported network, and their shape for a candidate."""

DESCRIPTION = dict(
    size=None,
    resize=dict(scale=[64, 48], backend='area'),
    body_model=dict(model_path='free'),
    test_cfg=dict(max_per_img=8, person_class_only=True),
)


class DescribedSession:
    """A session with a given description."""

    names = tuple(SHAPES)

    def __init__(self, description: Mapping[str, Any] = DESCRIPTION) -> None:
        self.properties = {'aios': json.dumps(description)}

    def get_modelmeta(self) -> SimpleNamespace:
        return SimpleNamespace(custom_metadata_map=self.properties)

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self.names]


class RandomSession(DescribedSession):
    """A session that always returns the same two persons."""

    def run(self, _: None, inputs: Mapping[str, np.ndarray]) -> list:
        found = random_outputs(2)
        count = len(inputs['images'])
        return [np.stack([value] * count) for value in found.values()]


def random_outputs(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Outputs ``(count, ...)``, some meters away."""
    rng = np.random.default_rng(seed)
    outputs: dict[str, np.ndarray] = {}
    for name, shape in SHAPES.items():
        value = rng.normal(size=(count, *shape))
        if shape[-2:] == (3, 3):
            value = np.linalg.qr(value)[0]
            value *= np.linalg.det(value)[..., None, None]
        elif name.endswith(('_box', '_keypoints')):
            value = rng.uniform(0.2, 0.8, value.shape)
        elif name == 'camera':
            value = rng.uniform((0.2, -0.1, -0.1), 0.3, value.shape)
        outputs[name] = value.astype(np.float32)
    return outputs
