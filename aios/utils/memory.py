# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Measure peak memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

MIB = 2**20


def start_memory(device: str) -> float | None:
    """Reset the peak memory.

    Args:
        device: Name of the device in PyTorch.

    Returns:
        Memory in use, MiB; for the CPU that of the process.  None if the
        system does not report it.
    """
    gc.collect()
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / MIB
    with contextlib.suppress(OSError, AttributeError):
        # Return freed memory to the system, so that reuse is counted.
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')
        return _process_memory('VmRSS')
    return None


def peak_memory(device: str, before: float | None) -> float | None:
    """Peak memory since :func:`start_memory`, minus memory in use then.

    Args:
        device: As for :func:`start_memory`.
        before: Result of :func:`start_memory`.

    Returns:
        MiB, or None if ``before`` is.
    """
    if before is None:
        return None
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / MIB - before
    return _process_memory('VmHWM') - before


def _process_memory(name: str) -> float:
    """An entry of Linux' process status, MiB."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) / 1024
    raise OSError(f'/proc/self/status has no {name}')
