# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What all metrics have in common."""

from __future__ import annotations

from mmengine.evaluator import BaseMetric

__all__ = ['NumberMetric']


class NumberMetric(BaseMetric):
    """A metric of which all numbers arrive in MMEngine's log files.

    They write ``null`` for whole numbers, so counts are floats, too.
    """

    def evaluate(self, size: int) -> dict[str, float]:
        """See :meth:`mmengine.evaluator.BaseMetric.evaluate`."""
        metrics = super().evaluate(size)
        return {name: float(value) for name, value in metrics.items()}
