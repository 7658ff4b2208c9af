# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference on a Mac's GPU, by a stand-in."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import torch
from api_images import draw_image
from fake_mps import DEVICE, FakeMPS, missing_on_mps

from aios.apis import AiOSInferencer
from aios.body_models import BodyPoser


def test_inference(inferencer: AiOSInferencer, monkeypatch) -> None:
    """Without float64, and by operators that PyTorch has there."""

    def find(inferencer: AiOSInferencer) -> list:
        poser = BodyPoser(inferencer.body_model)
        images = [draw_image(0), draw_image(1)]
        frames = inferencer.stream(images, batch_size=2)
        return [frame.posed(poser) for frame in frames]

    expected = find(inferencer)
    moved = copy.deepcopy(inferencer)
    # There is one for mps, but none for the device that stands in for it.
    monkeypatch.setattr(
        torch, 'autocast', lambda *_, **__: contextlib.nullcontext()
    )
    with FakeMPS() as mps:
        moved.model.to(DEVICE)
        found = find(moved)
    assert {'aten::grid_sampler_2d', 'aten::convolution'} <= mps.operators
    assert list(missing_on_mps(mps.operators)) == []
    for frame, wanted in zip(found, expected, strict=True):
        assert frame.instances.keys() == wanted.instances.keys()
        for name, values in wanted.instances.items():
            np.testing.assert_allclose(
                frame.instances[name], values, rtol=1e-3, atol=2e-3
            )
