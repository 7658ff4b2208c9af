# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reproducible random numbers of the network in resumed training."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from aios.datasets.reproducible import mix_seed
from aios.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed torch before each training step from seed, rank and step.

    Denoising queries and dropout use torch's global generator, whose state is
    not in checkpoints.  With this hook resumed and uninterrupted training
    draw the same numbers.  For the images see
    :mod:`aios.datasets.reproducible`.
    """

    priority = 'LOWEST'

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Let the sampler continue with the seed of a resumed training.

        MMEngine reads the seed after the sampler was built.
        """
        seed = (checkpoint.get('meta') or {}).get('seed')
        if not runner._resume or seed is None:
            return
        loader: Any = runner.train_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        if getattr(sampler, 'seed', None) == runner.seed:
            sampler.seed = seed

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed the generators of all devices."""
        torch.manual_seed(mix_seed(runner.seed, get_rank(), runner.iter))
