# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Processes that share the frames of a source, started by torchrun."""

from __future__ import annotations

import datetime
import os
from contextlib import suppress
from dataclasses import dataclass

from aios.utils.processes import end_with_parent

# Processes wait for the slowest, and then for the first, which works alone.
_PATIENCE = datetime.timedelta(days=7)


@dataclass(frozen=True)
class DistContext:
    """Rank of this process and number of processes.

    Args:
        rank: Number of this process.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def join(cls, connect: bool = True) -> DistContext:
        """Join the processes that torchrun started.

        Args:
            connect: Whether :meth:`wait` is needed.

        Raises:
            ValueError: If torchrun did not start this process.
        """
        if 'WORLD_SIZE' not in os.environ:
            raise ValueError(
                '--launcher pytorch: start the processes with torchrun, or '
                'with tools/inference.sh'
            )
        end_with_parent()
        if connect:  # gloo has barriers with and without GPUs
            from torch import distributed

            distributed.init_process_group('gloo', timeout=_PATIENCE)
        return cls(int(os.environ['RANK']), int(os.environ['WORLD_SIZE']))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that finishes the work."""
        return self.rank == 0

    def device(self, wanted: str | None) -> str | None:
        """Device of this process: processes take turns at the GPUs.

        Args:
            wanted: ``--device``; one with a number, or no GPU, is kept.

        Returns:
            ``None`` for the best one.
        """
        if self.world_size == 1 or wanted not in (None, 'cuda'):
            return wanted
        rank = int(os.environ.get('LOCAL_RANK', self.rank))
        count = 0
        with suppress(ImportError):  # ONNX Runtime does not need it
            import torch

            count = torch.cuda.device_count()
        if count:
            return f'cuda:{rank % count}'
        return wanted and f'cuda:{rank}'

    def share(self, count: int) -> tuple[int, int | None]:
        """First and last frame (excluded) of this process.

        Args:
            count: Number of frames, possibly estimated: the last process
                has no end.
        """
        begin = count * self.rank // self.world_size
        end = count * (self.rank + 1) // self.world_size
        return begin, None if self.rank == self.world_size - 1 else end

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            from torch import distributed

            distributed.barrier()
