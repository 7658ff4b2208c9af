# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The functions of MMDetection for inference, on our configs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs/aios'


@pytest.mark.filterwarnings('ignore')
def test_inference_detector():
    config = Config.fromfile(CONFIGS / 'aios_tiny_1xb8-24e_synthetic.py')
    config.visualizer = None
    model = init_detector(config, None, device='cpu', palette='random')
    image = np.full((96, 128, 3), 90, np.uint8)
    result = inference_detector(model, image)
    persons = result.pred_instances
    assert persons.bboxes.shape == (len(persons), 4)
    assert result.ori_shape == (96, 128)
    assert (persons.bboxes[:, 2] <= 2 * 128).all()
