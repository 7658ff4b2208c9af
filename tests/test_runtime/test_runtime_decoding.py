# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons that NumPy chooses are those that PyTorch chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_sessions import random_outputs

from aios.body_models import NumpySMPLXLayer, SMPLXLayer
from aios.models.heads import (
    DecodingConfig,
    LayerOutputs,
    SMPLXParams,
    decode_instances,
)
from aios.models.heads import decoding as of_tensors
from aios.runtime.decoding import decode_persons, select_persons
from aios.runtime.rotations import matrix_to_axis_angle
from aios.structures import WHOLE_BODY, rotations

CONFIGS = {
    'published': {},
    'few': dict(max_per_img=5, person_class_only=True),
    'good': dict(score_thr=0.5, nms_iou_thr=0.3),
    'apart': dict(nms_iou_thr=0.1, person_class_only=True),
    'poses': dict(nms_oks_thr=0.1, person_class_only=True),
    'heads': dict(nms_head_thr=0.5, person_class_only=True),
    'of COCO': dict(person_label=0, nms_iou_thr=0.5),
}


@pytest.mark.parametrize('options', CONFIGS.values(), ids=CONFIGS)
def test_the_same_are_chosen(options: dict):
    config = DecodingConfig(**options)
    outputs = random_outputs(30)
    logits, boxes = outputs['logits'], outputs['body_box']
    points = outputs['body_keypoints']
    scores, index = select_persons(logits, boxes, config, keypoints=points)
    (expected,) = of_tensors.select_persons(
        *(torch.from_numpy(x)[None] for x in (logits, boxes)),
        config,
        keypoints=torch.from_numpy(points)[None],
    )
    persons = expected.labels == config.person_label
    assert index.tolist() == expected.index[persons].tolist()
    np.testing.assert_allclose(scores, expected.scores[persons], rtol=1e-6)


def test_scores_that_are_not_numbers_choose_no_person():
    outputs = random_outputs(3)
    outputs['logits'][:] = np.nan
    _, index = select_persons(
        outputs['logits'], outputs['body_box'], DecodingConfig()
    )
    assert index.tolist() == []


def test_axis_angles(rng_rotations: np.ndarray):
    expected = rotations.matrix_to_axis_angle(torch.from_numpy(rng_rotations))
    np.testing.assert_allclose(
        matrix_to_axis_angle(rng_rotations), expected, atol=1e-9
    )


@pytest.fixture
def rng_rotations() -> np.ndarray:
    """Also the identity, half turns, nearly half turns, and no rotation."""
    vectors = np.random.default_rng(0).normal(size=(500, 3)) * 2
    special = np.pi * np.eye(3)
    vectors = np.concatenate(
        [vectors, special, special * (1 - 1e-9), -special * 1.001]
    )
    vectors = np.concatenate([vectors, 1e-8 * vectors, np.zeros((1, 3))])
    matrices = rotations.axis_angle_to_matrix(torch.from_numpy(vectors))
    return np.concatenate([matrices.numpy(), np.zeros((1, 3, 3))])


def _layer(outputs: dict[str, np.ndarray]) -> LayerOutputs:
    tensors = {n: torch.from_numpy(x)[None] for n, x in outputs.items()}
    parts = {p.name: (p.is_box, tensors.pop(p.name)) for p in WHOLE_BODY.parts}
    return LayerOutputs(
        layout=WHOLE_BODY,
        logits=tensors.pop('logits'),
        boxes={name: x for name, (is_box, x) in parts.items() if is_box},
        points={name: x for name, (is_box, x) in parts.items() if not is_box},
        levels=tensors.pop('levels', None),
        smplx=SMPLXParams(**tensors),
    )


@pytest.mark.parametrize('levels', [None, (0, 1, 1, 0, 1, 0)])
def test_persons(
    levels: tuple[int, ...] | None, free_body_dir: Path, layer: SMPLXLayer
):
    """In pixels of an image whose aspect ratio was rounded."""
    config = DecodingConfig(
        score_thr=0.2,
        person_class_only=True,
        pyramid=[dict(max_size=40), dict(scale=0.5, min_size=14)],
        nms_oks_thr=0.05,
    )
    seen, size = (66, 50), (199, 151)
    outputs = random_outputs(6)
    if levels:
        outputs['levels'] = np.array(levels)
    found = decode_persons(
        outputs, seen, size, NumpySMPLXLayer(free_body_dir), config
    )
    (persons,) = decode_instances(
        _layer(outputs),
        [dict(img_shape=seen[::-1], ori_shape=size[::-1])],
        layer,
        config,
    )
    expected = dict(persons.items()) | dict(cam_K=persons.cam_K)
    assert len(found['scores']) == (2 if levels else 4)
    for name, value in found.items():
        # pixels and meters
        tolerance = 1e-2 if name in ('cam_K', 'joints2d') else 1e-4
        np.testing.assert_allclose(
            value, expected[name], atol=tolerance, rtol=1e-5, err_msg=name
        )


def test_no_person(free_body_dir: Path):
    found = decode_persons(
        random_outputs(2),
        (64, 48),
        (64, 48),
        NumpySMPLXLayer(free_body_dir),
        DecodingConfig(score_thr=1.0),
    )
    assert found['vertices'].shape == (0, 10475, 3)
    assert found['joints2d'].shape == (0, 144, 2)


@pytest.mark.parametrize('distance, count', [(0.1, 1), (0.5, 2)])
def test_one_person_per_head(distance: float, count: int):
    """A small body in the face of a portrait is suppressed.

    Boxes hardly overlap, and so do shoulders; heads are at the same place,
    or half a head apart.
    """
    portrait = np.full((17, 2), 40.0)
    portrait[:5] = [[20, 22], [22, 18], [18, 18], [25, 20], [15, 20]]
    small = (portrait - 20) / 4 + [20 + 10 * distance, 20]
    keypoints = np.stack((portrait, small)).astype(np.float32)
    boxes = np.array([[20, 30, 40, 60], [22, 22, 10, 12]], np.float32)
    logits = np.array([[0, 3], [0, 1]], np.float32)
    for threshold, expected in ((-1, 2), (0.25, count)):
        config = DecodingConfig(
            nms_iou_thr=0.6,
            nms_oks_thr=0.4,
            nms_head_thr=threshold,
            person_class_only=True,
        )
        _, index = select_persons(logits, boxes, config, keypoints=keypoints)
        assert index.tolist() == list(range(expected))


def test_half_precision_leaves_out_the_same_copies(layer: SMPLXLayer):
    """Areas in square pixels are larger than float16 can be."""
    outputs = random_outputs(1)
    outputs = {name: x.repeat(2, 0) for name, x in outputs.items()}
    outputs['body_box'][:] = [0.5, 0.5, 0.9, 0.9]
    config = DecodingConfig(nms_iou_thr=0.5, person_class_only=True)
    for dtype in torch.float32, torch.float16:
        boxes = torch.from_numpy(outputs['body_box'])[None].to(dtype)
        output = replace(_layer(outputs), boxes=dict(body_box=boxes))
        (persons,) = decode_instances(
            output,
            [dict(img_shape=(480, 640))],
            layer,
            config,
        )
        assert len(persons) == 1
