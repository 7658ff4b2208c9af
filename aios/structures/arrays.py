# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Code shared by NumPy arrays and tensors, without importing PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np


def library_of(array: Any) -> Any:
    """Module (:mod:`numpy` or :mod:`torch`) that an array belongs to."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch
