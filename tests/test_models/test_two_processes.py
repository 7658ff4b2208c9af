# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Distributed training of the network itself, on gloo."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from process_groups import run_group
from test_criterion_robustness import batch_of, persons_of
from torch.nn.parallel import DistributedDataParallel

from aios.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs/aios'
STEPS = [(2, 0), (0, 3), (0, 0)]  # persons of the processes


def train_some_steps(rank: int, config: Path, folder: Path) -> None:
    """Write the losses, and a sum of the weights after the last step."""
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(config).model).train()
    parallel = DistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    found = []
    for counts in STEPS:
        persons = [persons_of(counts[rank])]
        losses = parallel(*batch_of(persons), mode='loss')
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss))
    total = float(sum(p.double().sum() for p in model.parameters()))
    result = dict(losses=found, weights=total)
    (folder / f'{rank}.json').write_text(json.dumps(result))


@pytest.mark.slow
@pytest.mark.parametrize(
    'config', ['aios_tiny.py', 'aios_nano_2xb16_quickstart.py']
)
def test_process_without_persons(config, tmp_path) -> None:
    """Without ``find_unused_parameters``; both end with the same weights."""
    run_group(2, train_some_steps, tmp_path, CONFIGS / config, tmp_path)
    first, second = (
        json.loads((tmp_path / f'{rank}.json').read_text())
        for rank in range(2)
    )
    assert all(map(math.isfinite, first['losses'] + second['losses']))
    assert first['weights'] == second['weights']
