# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of persons with consistent labels, cameras and predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from toy_persons import SCALE, SIZE, Persons

from aios.evaluation.mesh_parts import load_mesh_parts
from aios.evaluation.metrics import SMPLXMeshMetric
from aios.evaluation.samples import GroundTruthBodies
from aios.registry import METRICS
from aios.structures import convert_joints, project_points

DATASETS = Path(__file__).parents[2] / 'configs/_base_/datasets'
CAMERA = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


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


def make_scene(
    persons: Persons, count: int, img_id: int = 0, distance: float = 5.0
) -> DetDataSample:
    """Persons side by side, 1.2 m apart, with perfect predictions."""
    sample = persons(count, img_id)
    truth, found = sample.gt_instances, sample.pred_instances
    transl = torch.zeros(count, 3)
    transl[:, 0] = 1.2 * (torch.arange(count) - (count - 1) / 2)
    transl[:, 2] = distance
    joints = found.joints3d + transl[:, None]
    pixels = project_points(joints, torch.from_numpy(CAMERA).float())
    scale = torch.tensor(SCALE)
    truth.keypoints = convert_joints(pixels, 'smplx_144', 'smplx_137')[0]
    truth.keypoints = truth.keypoints * scale
    truth.smplx_transl = found.smplx_transl = transl
    found.joints2d = pixels
    found.bboxes = torch.cat((pixels.amin(1), pixels.amax(1)), dim=1)
    truth.bboxes = found.bboxes * scale.repeat(2)
    sample.set_metainfo(dict(cam_K=np.diag((*SCALE, 1.0)) @ CAMERA))
    assert sample.ori_shape == SIZE
    return sample


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
        self,
        kind: Callable[..., Any],
        samples: Sequence[DetDataSample],
        batch_sizes: Sequence[int] | None = None,
        **arguments: Any,
    ) -> dict[str, float]:
        """Return the metrics without their prefix."""
        evaluator = Evaluator(self.metric(kind, **arguments))
        samples = list(samples)
        rest = list(samples)
        for size in batch_sizes or [len(samples)]:
            evaluator.process(rest[:size])
            rest = rest[size:]
        metrics = evaluator.evaluate(len(samples))
        assert np.isfinite(list(metrics.values())).all()
        (prefix,) = {f'{m.prefix}/' for m in evaluator.metrics}
        assert all(name.startswith(prefix) for name in metrics)
        return {k.removeprefix(prefix): v for k, v in metrics.items()}
