# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How good predictions are: pure functions, and metrics made of them."""

from .metrics import DumpWholeBodyResults, WholeBodyMetric

__all__ = ['DumpWholeBodyResults', 'WholeBodyMetric']
