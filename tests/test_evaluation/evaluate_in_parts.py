# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Every metric on the same pictures, in one of several processes.

Usage: python evaluate_in_parts.py WORLD RANK ADDRESS BODY_MODELS OUT REPEATS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from mesh_scenes import (
    AGORA,
    ARCTIC,
    EGOBODY,
    EHF,
    UBODY,
    Judge,
    make_scene,
)
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from test_coco_wholebody_metric import make_truth
from torch import distributed
from toy_agora import ToyAGORA
from toy_people import People

from aios.evaluation.metrics import (
    AGORAMetric,
    AGORASubmission,
    BEDLAMSubmission,
    CocoWholeBodyMetric,
    DumpWholeBodyResults,
    WholeBodyMetric,
)

# Uneven numbers of pictures, and one without anybody.
COUNTS = (3, 1, 2, 0, 1)


def _spoil(instances: InstanceData, seed: int) -> None:
    """Every person wrong in its own way."""
    generator = torch.Generator().manual_seed(seed)
    for name in ('vertices', 'joints3d'):
        points = instances[name]
        noise = torch.rand(points.shape, generator=generator)
        instances[name] = points + noise / 50


def scenes(model: str) -> list[DetDataSample]:
    """Pictures with labels, 1.jpg of another camera."""
    people = People(model)
    samples = [make_scene(people, n, i) for i, n in enumerate(COUNTS)]
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
    """One for scenes, and one for pictures of AGORA."""
    judge = Judge(Path(model))
    annotations = Path(f'{out}.coco.{distributed.get_rank()}.json')
    annotations.write_text(json.dumps(make_truth(samples)))
    benchmarks = (EHF, UBODY, EGOBODY, AGORA)
    metrics = [
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
    return Evaluator(metrics), Evaluator(agora)


def main(argv: list[str]) -> None:
    """Evaluate this process's share."""
    world, rank, repeats = int(argv[0]), int(argv[1]), int(argv[5])
    address, model, out = argv[2], argv[3], Path(argv[4])
    distributed.init_process_group(
        'gloo', init_method=f'file://{address}', world_size=world, rank=rank
    )
    torch.set_num_threads(1)
    pictures: list = scenes(model)
    folder = Path(f'{out}.toy.{rank}')
    folder.mkdir()
    crowds: list = ToyAGORA(folder, model).samples()
    for index, crowd in enumerate(crowds):
        _spoil(crowd['pred_instances'], index)
    results: dict[str, float] = {}
    for samples, evaluator in zip(
        (pictures, crowds), evaluators(model, out, pictures), strict=True
    ):
        # Samplers may repeat pictures to fill up the last batch.
        padded = [*samples, *samples[:repeats]]
        for sample in padded[rank::world]:
            evaluator.process([sample])
        results |= evaluator.evaluate(len(samples))
    if rank == 0:
        out.write_text(json.dumps(results))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == '__main__':
    main(sys.argv[1:])
