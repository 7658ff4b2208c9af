# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Two processes say what one says, for every metric."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aios.evaluation import metrics
from aios.registry import METRICS
from aios.utils.safe_io import load_pickle

WORKER = Path(__file__).with_name('evaluate_in_parts.py')


def _run(
    world: int, folder: Path, model: Path, repeats: int = 0
) -> tuple[dict[str, float], Path]:
    out = folder / f'{world}-{repeats}'
    address = folder / f'store-{world}-{repeats}'
    started = [
        subprocess.Popen(
            [sys.executable, WORKER, str(world), str(rank), str(address)]
            + [str(model), str(out), str(repeats)],
            cwd=folder,
            env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return json.loads(out.read_text()), out


@pytest.fixture(scope='module')
def alone(tmp_path_factory, free_body_dir):
    return _run(1, tmp_path_factory.mktemp('alone'), free_body_dir)


@pytest.mark.slow
@pytest.mark.parametrize('repeats', [0, 1])
def test_two_processes_say_what_one_says(
    alone, tmp_path, free_body_dir, repeats
):
    one, single = alone
    two, double = _run(2, tmp_path, free_body_dir, repeats)
    assert two == one
    assert all(math.isfinite(value) for value in one.values())
    # Everybody was evaluated, and nobody is exactly right.
    kinds = [METRICS.get(name) for name in metrics.__all__]
    prefixes = {kind.default_prefix for kind in kinds}
    benchmarks = {'EHF', 'UBody', 'EgoBody', 'ARCTIC', 'AGORA-mesh'}
    others = {'mesh', 'dump', 'EMDB-world'}
    found = {name.split('/')[0] for name in one}
    assert found == prefixes - others | benchmarks
    for name in benchmarks:
        assert one[f'{name}/MPVPE-all'] > 1
    assert one['whole_body/MPVPE'] > 1
    assert one['agora/body-MVE'] > 1
    for name in ('submission', 'bedlam'):
        archives = [
            Path(f'{out}.{name}/predictions.zip').read_bytes()
            for out in (single, double)
        ]
        assert archives[0] == archives[1]
    dumps = [load_pickle(f'{out}.dump.pkl') for out in (single, double)]
    assert [r['img_id'] for r in dumps[1]] == [0, 1, 2, 3, 4]
    for mine, other in zip(*dumps, strict=True):
        assert mine['img_path'] == other['img_path']
        np.testing.assert_equal(mine, other)
    # Nothing temporary is left.
    left = [path.name for path in tmp_path.glob('.*')]
    assert left in ([], ['.dist_test'])
