# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Functions of NumPy arrays and tensors alike, without importing PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np


def library_of(array: Any) -> Any:
    """NumPy or PyTorch, whichever an array is of."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch
