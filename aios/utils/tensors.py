# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small tensors on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor_like(
    numbers: Sequence[Any] | np.ndarray,
    like: Tensor,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A tensor of Python's numbers beside another tensor.

    ``like.new_tensor(numbers)`` and ``torch.tensor(numbers, device=...)`` wait
    until the device has done all that it was asked before; this does not.

    Args:
        numbers: Numbers, or rows of numbers.
        like: Gives the device and, without ``dtype``, the dtype.
        dtype: Another one.
    """
    tensor = torch.tensor(numbers, dtype=dtype or like.dtype)
    return tensor.to(like.device, non_blocking=True)
