# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Two processes say what one says, for every metric."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mesh_scenes import (
    AGORA,
    ARCTIC,
    EGOBODY,
    EHF,
    UBODY,
    Judge,
)
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from process_groups import run_group
from test_coco_wholebody_metric import make_truth
from torch import distributed
from toy_agora import ToyAGORA
from toy_persons import Persons

from aios.evaluation import metrics
from aios.evaluation.metrics import (
    AGORAMetric,
    AGORASubmission,
    BEDLAMSubmission,
    CocoWholeBodyMetric,
    DumpWholeBodyResults,
    WholeBodyMetric,
)
from aios.registry import METRICS
from aios.utils.safe_io import load_pickle

# Uneven numbers of images, and one without anybody.
COUNTS = (3, 1, 2, 0, 1)


def _spoil(instances: InstanceData, seed: int) -> None:
    """Every person wrong in its own way."""
    generator = torch.Generator().manual_seed(seed)
    for name in ('vertices', 'joints3d'):
        points = instances[name]
        noise = torch.rand(points.shape, generator=generator)
        instances[name] = points + noise / 50


def scenes(model: str) -> list[DetDataSample]:
    """Images with labels, 1.jpg of another camera."""
    persons = Persons(model)
    samples = [persons(n, i) for i, n in enumerate(COUNTS)]
    for index, sample in enumerate(samples):
        path = f'scene/png/{index % 2}/{index}.jpg'
        sample.set_metainfo(dict(img_path=path))
        truth = sample.gt_instances
        truth.vertices = sample.pred_instances.vertices.clone()
        _spoil(sample.pred_instances, index)
    return samples


def evaluators(
    model: str, out: Path, samples: list[DetDataSample]
) -> tuple[Evaluator, Evaluator]:
    """One for scenes, and one for images of AGORA."""
    judge = Judge(Path(model))
    annotations = Path(f'{out}.coco.{distributed.get_rank()}.json')
    annotations.write_text(json.dumps(make_truth(samples)))
    benchmarks = (EHF, UBODY, EGOBODY, AGORA)
    scores = [
        *(judge.metric(kind) for kind in benchmarks),
        judge.metric(ARCTIC, per_camera=True),
        WholeBodyMetric(body_model=judge.body_model),
        CocoWholeBodyMetric(str(annotations)),
        DumpWholeBodyResults(f'{out}.dump.pkl'),
        BEDLAMSubmission(f'{out}.bedlam', score_thr=0.0),
    ]
    folder = Path(f'{out}.agora.{distributed.get_rank()}')
    folder.mkdir()
    agora = [
        AGORAMetric(str(ToyAGORA(folder, model).folder), model, 'complement'),
        AGORASubmission(f'{out}.submission'),
    ]
    return Evaluator(scores), Evaluator(agora)


def evaluate_part(rank: int, model: str, out: Path, repeats: int) -> None:
    """Evaluate this process's share; the first one writes the numbers."""
    os.chdir(out.parent)  # where MMEngine exchanges results
    images: list = scenes(model)
    folder = Path(f'{out}.toy.{rank}')
    folder.mkdir()
    crowds: list = ToyAGORA(folder, model).samples()
    for index, crowd in enumerate(crowds):
        _spoil(crowd['pred_instances'], index)
    results: dict[str, float] = {}
    for samples, evaluator in zip(
        (images, crowds), evaluators(model, out, images), strict=True
    ):
        # Samplers may repeat images to fill up the last batch.
        padded = [*samples, *samples[:repeats]]
        for sample in padded[rank :: distributed.get_world_size()]:
            evaluator.process([sample])
        results |= evaluator.evaluate(len(samples))
    if rank == 0:
        out.write_text(json.dumps(results))


def _run(
    world: int, folder: Path, model: Path, repeats: int = 0
) -> tuple[dict[str, float], Path]:
    out = folder / f'{world}-{repeats}'
    run_group(world, evaluate_part, folder, str(model), out, repeats)
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
