# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's official evaluation as a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log

from aios.evaluation.agora.bodies import SubmittedBodies, load_part_vertices
from aios.evaluation.agora.evaluator import (
    SUBMITTED_FIELDS,
    AGORAEvaluator,
    persons_of,
)
from aios.evaluation.agora.ground_truth import AGORAGroundTruth
from aios.evaluation.functional import AGORAProtocol
from aios.registry import METRICS
from aios.results import finite_predictions_of

from .base import NumberMetric, records_by_name


@METRICS.register_module()
class AGORAMetric(NumberMetric):
    """Protocol of AGORA's leaderboard, on its validation set.

    Predictions come from the data samples, true persons from AGORA's data
    frames, found by image name.  The numbers are those of
    :func:`aios.evaluation.functional.summarize_agora`.  All persons of an
    image without a sample count as missed.

    Args:
        ground_truth: Folder of the data frames, or the file that
            ``tools/dataset_converters/agora_ground_truth.py`` converted.
        body_models: Folder of the vertex ids of hands and face (and of the
            body models, if predictions have no vertices); see
            :func:`aios.body_models.find_body_model`.
        body_vertices: See
            :func:`aios.evaluation.agora.load_part_vertices`.
        score_thr: Predictions with a lower score are left out.
        full_bodies_only: See
            :class:`aios.evaluation.agora.AGORAGroundTruth`.
        protocol: ``'official'`` or ``'corrected'``, see
            :class:`aios.evaluation.functional.AGORAProtocol`.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: If the protocol is unknown.
    """

    default_prefix = 'agora'

    def __init__(
        self,
        ground_truth: str,
        body_models: str | None = None,
        body_vertices: str | None = None,
        score_thr: float = 0.5,
        full_bodies_only: bool = True,
        protocol: str = 'official',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ground_truth = ground_truth
        self.body_models = body_models
        self.body_vertices = body_vertices
        self.score_thr = score_thr
        self.full_bodies_only = full_bodies_only
        self.protocol = AGORAProtocol(protocol)
        self._truth: AGORAGroundTruth | None = None

    def _prepare(self) -> AGORAGroundTruth:
        """Read files lazily, so that configs can be built without them."""
        if self._truth is None:
            ids = load_part_vertices(self.body_models, self.body_vertices)
            self._evaluator = AGORAEvaluator(
                ids, self.protocol, [self.score_thr]
            )
            self._bodies = SubmittedBodies(self.body_models)
            self._truth = AGORAGroundTruth(
                self.ground_truth, self.full_bodies_only
            )
        return self._truth

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Reduce each image to a few numbers per person."""
        truth = self._prepare()
        for sample in data_samples:
            persons, broken = finite_predictions_of(
                sample, self.score_thr, SUBMITTED_FIELDS
            )
            found = persons_of(
                sample['img_path'],
                sample['ori_shape'],
                persons,
                self._bodies,
                broken,
            )
            if found.name in truth:
                image = truth[found.name]
                record = self._evaluator.compare(image, found)
            else:
                record = self._evaluator.without_truth(found)
            self.results.append({**record, 'img_path': sample['img_path']})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Aggregate the images; a repeated image counts once.

        Raises:
            ValueError: If two images have the same name.
        """
        truth = self._prepare()
        records = records_by_name(
            results,
            'name',
            'name',
            'test one resolution and one folder at a time',
        )
        absent = [image for image in truth if image.name not in records]
        if absent:
            print_log(
                f'{len(absent)} of {len(truth)} ground-truth images were not '
                f'evaluated (the first: {absent[0].name}); their persons '
                'count as missed',
                logger='current',
                level=30,
            )
        missed = [self._evaluator.compare(image, None) for image in absent]
        return self._evaluator.summary([*records.values(), *missed])
