# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What all metrics have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmengine.evaluator import BaseMetric


class NumberMetric(BaseMetric):
    """A metric of which all numbers arrive in MMEngine's log files.

    They write ``null`` for whole numbers, so counts are floats, too.
    """

    def evaluate(self, size: int) -> dict[str, float]:
        """See :meth:`mmengine.evaluator.BaseMetric.evaluate`."""
        metrics = super().evaluate(size)
        return {name: float(value) for name, value in metrics.items()}


def one_record_per_image(
    records: Iterable[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Records without those that came twice, in a fixed order.

    Samplers repeat some images to fill up the last batch.  In a fixed
    order sums do not depend on the number of processes.

    Args:
        records: What ``process`` kept; ``'key'`` tells images apart.
    """
    images = {record['key']: record for record in records}
    return [images[key] for key in sorted(images)]
