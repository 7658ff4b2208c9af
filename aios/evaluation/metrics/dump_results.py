# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write predictions to a file, for evaluation without the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from aios.registry import METRICS
from aios.results import predictions_of
from aios.utils.portable_pickle import dump_pickle

_META = ('img_id', 'img_path', 'dataset_name', 'ori_shape')


@METRICS.register_module()
class DumpWholeBodyResults(BaseMetric):
    """Dump predictions to a pickle that every version of NumPy can read.

    It holds a list with one dictionary per image: ``img_id``, ``img_path``,
    ``dataset_name``, ``ori_shape`` and ``pred_instances``, a dictionary of
    NumPy arrays as :meth:`aios.models.heads.AiOSHead.predict` lists them.
    Read it with :func:`aios.utils.safe_io.load_pickle`.

    Args:
        out_file_path: The file, ``.pkl`` or ``.pickle``; it is replaced.
        score_thr: Persons with a lower score are left out.
        with_vertices: Also write meshes (125 kB per person).
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: If the file has another suffix.
    """

    default_prefix = 'dump'

    def __init__(
        self,
        out_file_path: str,
        score_thr: float = 0.0,
        with_vertices: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not out_file_path.endswith(('.pkl', '.pickle')):
            raise ValueError(
                f'{out_file_path}: the suffix must be .pkl or .pickle'
            )
        self.out_file_path = out_file_path
        self.score_thr = score_thr
        self.with_vertices = with_vertices

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the records to write."""
        for sample in data_samples:
            fields = dict(sample['pred_instances'])
            if not self.with_vertices:
                fields.pop('vertices', None)
            record = {key: sample[key] for key in _META if key in sample}
            record['pred_instances'] = predictions_of(
                dict(pred_instances=fields), self.score_thr
            )
            self.results.append(record)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Write the file."""
        dump_pickle(self.out_file_path, results, overwrite=True)
        print_log(
            f'wrote predictions for {len(results)} images to '
            f'{self.out_file_path}',
            logger='current',
        )
        return {}
