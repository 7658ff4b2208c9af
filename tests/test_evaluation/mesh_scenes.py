# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics of the benchmarks, for persons of ``toy_persons``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from toy_persons import numbers_of

from aios.evaluation.mesh_parts import load_mesh_parts
from aios.evaluation.metrics import SMPLXMeshMetric
from aios.evaluation.samples import GroundTruthBodies
from aios.registry import METRICS

DATASETS = Path(__file__).parents[2] / 'configs/_base_/datasets'


def benchmark(name: str, dataset: str) -> Callable[..., Any]:
    """The metric of a benchmark, with the options of the configs."""
    config = Config.fromfile(DATASETS / f'{dataset}.py')
    options = dict(config[f'{name}_evaluator'])
    return partial(METRICS.get(options.pop('type')), **options)


EHF, UBODY, EGOBODY = (
    benchmark(name, name) for name in ('ehf', 'ubody', 'egobody')
)
ARCTIC = partial(benchmark('arctic', 'arctic'), per_camera=False)
AGORA = benchmark('agora_mesh', 'agora')


class Judge:
    """Evaluates samples with a metric; body models are read once.

    Args:
        model_path: Folder of the body model.
    """

    def __init__(self, model_path: Path) -> None:
        self.body_model = dict(type='SMPLXLayer', model_path=str(model_path))
        self.bodies = GroundTruthBodies(self.body_model)
        self.parts = load_mesh_parts(model_path)

    def metric(
        self, kind: Callable[..., Any], **arguments: Any
    ) -> SMPLXMeshMetric:
        """A metric of this kind."""
        metric = kind(body_model=self.body_model, **arguments)
        metric.bodies, metric.parts = self.bodies, self.parts
        return metric

    def __call__(
        self, kind, samples, batch_sizes=None, **arguments: Any
    ) -> dict[str, float]:
        """See :func:`toy_persons.numbers_of`."""
        metric = self.metric(kind, **arguments)
        return numbers_of(metric, samples, batch_sizes)
