# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Some steps of one process of two, for ``test_two_processes.py``.

Writes the number of persons and the loss of each step, and a sum of the
weights after the last, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from test_criterion_robustness import batch_of, ground_truth
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from aios.registry import MODELS

STEPS = [(2, 0), (0, 3), (0, 0)]  # persons of the processes


def main() -> None:
    distributed.init_process_group('gloo')
    rank = distributed.get_rank()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(sys.argv[1]).model).train()
    parallel = DistributedDataParallel(
        model, find_unused_parameters=False, broadcast_buffers=False
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    result: dict = dict(persons=[], losses=[])
    for counts in STEPS:
        people = [ground_truth(counts[rank])]
        losses = parallel(*batch_of(people), mode='loss')
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        result['persons'].append(counts[rank])
        result['losses'].append(float(loss))
    total = sum(p.double().sum() for p in model.parameters())
    result['weights'] = float(total)
    Path(sys.argv[2], f'{rank}.json').write_text(json.dumps(result))
    distributed.destroy_process_group()


if __name__ == '__main__':
    main()
