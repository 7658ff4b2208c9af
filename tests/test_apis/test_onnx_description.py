# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What an exported file says about its network."""

from __future__ import annotations

from mmengine.config import Config
from onnx_sessions import DescribedSession
from script_loader import ROOT

from aios.apis.onnx_export import describe_model
from aios.runtime import read_description


def test_file_knows_the_hand_convention():
    config = Config.fromfile(ROOT / 'configs/aios/aios_s.py')
    config.model.bbox_head.body_model.flat_hand_mean = True
    description = describe_model(config, '', None)
    read = read_description(DescribedSession(description), 'aios_s.onnx')
    expected = dict(model_path='free', flat_hand_mean=True)
    assert read['body_model'] == expected


def test_configs_of_both_styles_describe_the_same():
    """Types are names, or classes in MMEngine's new style."""
    text, new = (
        Config.fromfile(ROOT / path)
        for path in (
            'configs/aios/aios_tiny_1xb8-24e_synthetic.py',
            'aios/configs/aios_tiny_1xb8_24e_synthetic.py',
        )
    )
    first, second = (describe_model(x, '', None) for x in (text, new))
    assert first.pop('model') != second.pop('model')
    assert first == second
