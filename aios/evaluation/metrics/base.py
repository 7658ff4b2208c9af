# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base class and helpers of the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.evaluator import BaseMetric


class NumberMetric(BaseMetric):
    """Metric whose values are floats.

    MMEngine's log files hold ``null`` for integers, so counts are floats too.
    """

    def evaluate(self, size: int) -> dict[str, float]:
        """See :meth:`mmengine.evaluator.BaseMetric.evaluate`."""
        metrics = super().evaluate(size)
        return {name: float(value) for name, value in metrics.items()}


def image_key(sample: Mapping[str, Any]) -> tuple[str, int, str]:
    """Identity of the image of a sample.

    Concatenated datasets may have the same name, and all number from 0.
    """
    name, path = (str(sample.get(k, '')) for k in ('dataset_name', 'img_path'))
    return name, sample['img_id'], path


def one_record_per_image(
    records: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Records without repeated images, in a fixed order.

    Samplers repeat images to fill the last batch.  The fixed order makes
    sums independent of the number of processes.

    Args:
        records: Results of ``process``, with ``'key'`` of :func:`image_key`.
    """
    images = {record['key']: record for record in records}
    return [images[key] for key in sorted(images)]


def records_by_name(
    records: Iterable[dict[str, Any]], field: str, meaning: str, advice: str
) -> dict[Any, dict[str, Any]]:
    """Records by what names their image in a file, in a fixed order.

    Repetitions of an image, see :func:`one_record_per_image`, count once.

    Args:
        records: Results of ``process``, with ``'img_path'``.
        field: Key of the name.
        meaning: The name in words, for the error.
        advice: What to do about the error.

    Raises:
        ValueError: If two images have the same name.
    """
    images: dict[Any, dict[str, Any]] = {}
    for record in records:
        other = images.setdefault(record[field], record)
        if other['img_path'] != record['img_path']:
            raise ValueError(
                f'{other["img_path"]} and {record["img_path"]} have the same '
                f'{meaning} {record[field]}; {advice}'
            )
    return dict(sorted(images.items()))
