# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from aios.engine.profiling import PhaseMeter, make_clock


class Detector(nn.Module):
    """Counts work instead of time."""

    def __init__(self):
        super().__init__()
        self.work = 0
        self.backbone = Backbone(self)

    def forward(self):
        return self.predict()

    def predict(self):
        self.work += 1
        self.backbone()
        self.work += 10
        return 'persons'


class Backbone(nn.Module):
    def __init__(self, owner):
        super().__init__()
        self.owner = [owner]  # not a sub-module

    def forward(self):
        self.owner[0].work += 100
        if self.owner[0].work > 1000:
            raise RuntimeError('tired')


@pytest.fixture
def detector():
    return Detector()


def test_inner_phases_are_not_counted_twice(detector):
    meter = PhaseMeter(
        detector,
        lambda: detector.work,
        {
            'backbone': [('backbone', 'forward')],
            'post-process': [('', 'predict')],
            'absent': [('decoder', 'forward'), ('', 'no_such_method')],
        },
    )
    for _ in range(2):
        with meter.measure() as phases:
            assert detector() == 'persons'
            assert detector() == 'persons'
        assert phases == {'backbone': 200, 'post-process': 22}


def test_the_model_is_left_as_it_was(detector):
    meter = PhaseMeter(detector, lambda: detector.work)
    before = set(vars(detector)), set(vars(detector.backbone))
    with pytest.raises(RuntimeError, match='tired'), meter.measure():
        while True:
            detector()
    assert before == (set(vars(detector)), set(vars(detector.backbone)))
    assert torch.is_grad_enabled()


def test_clocks():
    assert make_clock('cpu', 'cuda') is time.process_time
    assert make_clock('wall') is time.perf_counter
    assert make_clock('wall', 'cuda:0') is not time.perf_counter
