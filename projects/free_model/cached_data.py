# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Batches of labels and cached features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_cache import Block, cache_features, chunks, read_blocks
from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from torch import Tensor, nn

from aios.apis.dist_context import DistContext
from aios.registry import DATASETS

ALONE = DistContext()


class CachedData:
    """Labels and features of folders of synthetic data.

    Args:
        config: With ``cached_dataset``, the config of a dataset without its
            ``data_root``.
        root: Parent of the folders, each with ``humandata.npz``.
        device: Device of the labels; moving them in each step takes 18 ms
            for 24 images, even to the same device.
        processes: Processes that share the batches.
    """

    def __init__(
        self,
        config: Config,
        root: Path,
        device: str = 'cpu',
        processes: DistContext = ALONE,
    ) -> None:
        self.config = config
        self.root = root
        self.device = device
        self.processes = processes
        self.datasets: dict[Path, Any] = {}
        self.blocks: dict[Path, list[Block]] = {}
        self._labels: dict[Path, Any] = {}
        self._samples: dict[tuple[Path, int], Any] = {}

    def find(self, model: nn.Module, cache: bool) -> None:
        """Find new folders, and optionally cache missing features."""
        for file in _agree(sorted(self.root.glob('*/humandata.npz'))):
            folder = file.parent
            if folder not in self.datasets:
                settings = dict(
                    self.config.cached_dataset, data_root=str(folder)
                )
                self.datasets[folder] = DATASETS.build(settings)
                # Features replace images.
                settings['pipeline'] = [
                    step
                    for step in settings['pipeline']
                    if step['type'] != 'LoadImage'
                ]
                self._labels[folder] = DATASETS.build(settings)
            features = folder / 'features'
            if cache:
                cache_features(
                    self.datasets[folder],
                    model,
                    features,
                    device=self.device,
                    rank=self.processes.rank,
                    world_size=self.processes.world_size,
                )
            self.processes.wait()
            self.blocks[folder] = list(read_blocks(_agree(chunks(features))))

    def count(self) -> int:
        """Number of images with features."""
        return sum(len(b.indices) for f in self.blocks.values() for b in f)

    def batches(
        self, rng: np.random.Generator, size: int
    ) -> Iterator[tuple[list[Tensor], list[Any]]]:
        """Batches of an epoch for this process, each of images of one size.

        Args:
            rng: Random generator of their order, the same in all processes.
            size: Batch size over all processes; smaller for images larger
                than 256 x 256 pixels, so that all steps take equally long.

        Raises:
            ValueError: If there are too few images.
        """
        rows: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for folder, blocks in self.blocks.items():
            for block in blocks:
                rows[block.size] += [
                    (folder, block, row) for row in range(len(block.indices))
                ]
        rank, world_size = self.processes.rank, self.processes.world_size
        share = max(1, size // world_size)
        plan = []
        for (height, width), of_size in rows.items():
            order = rng.permutation(len(of_size))
            count = max(1, min(share, share * 256**2 // (height * width)))
            for start in range(0, len(order) - count + 1, count):
                plan.append([of_size[i] for i in order[start : start + count]])
        if len(plan) < world_size:
            raise ValueError(
                f'{self.root}: has {self.count()} images, fewer than '
                f'{world_size} batches of {share}'
            )
        # Equal numbers for all processes, which synchronize in each step.
        shared = len(plan) // world_size * world_size
        for i in rng.permutation(len(plan))[:shared][rank::world_size]:
            yield self._load(plan[i])

    def _load(
        self, rows: list[tuple[Path, Block, int]]
    ) -> tuple[list[Tensor], list[Any]]:
        levels = [
            torch.from_numpy(
                np.stack([block.levels[level][row] for _, block, row in rows])
            ).float()
            for level in range(len(rows[0][1].levels))
        ]
        samples = [
            self._sample(folder, block, row) for folder, block, row in rows
        ]
        return levels, samples

    def _sample(self, folder: Path, block: Block, row: int) -> Any:
        key = folder, block.indices[row]
        if key not in self._samples:
            sample = self._labels[folder][key[1]]['data_samples']
            sample.set_metainfo(
                dict(batch_input_shape=block.size, pad_shape=block.size)
            )
            self._samples[key] = sample.to(self.device)
        return self._samples[key]


def _agree(files: list[Path]) -> list[Path]:
    """Files seen by the first process, since more may appear meanwhile."""
    seen = [files]
    broadcast_object_list(seen)
    return seen[0]
