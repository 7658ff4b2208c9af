# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small tensors on a device, and their precision."""

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
    """Create a tensor on the device of another tensor without a sync.

    ``like.new_tensor(numbers)`` and ``torch.tensor(numbers, device=...)``
    synchronize with the device.

    Args:
        numbers: Numbers, or rows of numbers.
        like: Gives the device and the default dtype.
        dtype: Default: that of ``like``.
    """
    tensor = torch.tensor(numbers, dtype=dtype or like.dtype)
    return tensor.to(like.device, non_blocking=True)


def at_least_float32(x: Tensor) -> Tensor:
    """Convert half precision, too coarse for bodies and pixels, to float32."""
    return x.float() if x.dtype.itemsize < 4 else x
