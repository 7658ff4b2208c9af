#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Train all modules, except most of the backbone, on cached features.

The learning rate is constant and decays to zero at the end ("warm-up,
stable, decay").  So a training can run for as long as there is time, and a
copy of it can be finished whenever a model is needed:

    python projects/free_model/train_cached.py CONFIG --data STATE/train \
        --state STATE/trunk --backbone movenet.safetensors
    python projects/free_model/train_cached.py CONFIG --data STATE/train \
        --state STATE/end --start STATE/trunk/last.pth --decay-steps 2000 \
        --backbone movenet.safetensors

It can be killed at any time and resumes when started again with the same
options. New folders of data are found during the training. Several processes,
started by torchrun, share each batch:

    torchrun --standalone --nproc-per-node 2 \
        projects/free_model/train_cached.py CONFIG ...
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_data import ALONE, CachedData
from mmengine.config import Config
from mmengine.dist import all_reduce_params
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from optimizers import Optimizers
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tuned_blocks import recompute, unfreeze

from aios.apis.dist_context import DistContext
from aios.models.checkpoints import read_checkpoint
from aios.registry import MODELS
from aios.utils.command_line import errors_in_one_line

_BACKBONE = 'backbone.'

LOGGED = (
    'loss',
    'loss_cls',
    'loss_body_bbox',
    'loss_body_keypoints',
    'loss_smplx_pose_root',
    'loss_smplx_pose_body',
    'loss_smplx_body_kp3d',
    'loss_smplx_body_kp2d',
    'loss_smplx_pose_lhand',
    'loss_pyramid',
)


class Training:
    """Model, optimizer and moving average, with their checkpoints.

    Args:
        config: With ``model`` and ``recipe``.
        state: Folder of the checkpoints.
        device: Device of the training.
        decay_steps: Steps over which the rate decays; 0 for a constant rate.
        processes: Processes that share each step.
    """

    def __init__(
        self,
        config: Config,
        state: Path,
        device: str,
        decay_steps: int,
        processes: DistContext = ALONE,
    ) -> None:
        self.recipe = config.recipe
        self.state = state
        self.decay_steps = decay_steps
        self.processes = processes
        self.model = MODELS.build(config.model)
        self.model.init_weights()
        if 'keep_pyramid' in self.recipe:
            unfreeze(self.model.backbone)
        self.model.to(device).train()
        self.device = device
        named = {
            name: p
            for name, p in self.model.named_parameters()
            if p.requires_grad
        }
        self.trained = {*named}
        self.parameters = [*named.values()]
        self.optimizer = Optimizers(
            named.items(),
            self.recipe.lr,
            self.recipe.get('muon', False),
            processes,
        )
        # They share memory with the model. Collecting them takes long.
        self._weights = {
            k: v
            for k, v in self.model.state_dict().items()
            if not k.startswith(_BACKBONE) or k in self.trained
        }
        self._start_average()
        self.step = 0
        self.first_step = 0
        self.seconds = 0.0

    def _start_average(self) -> None:
        self.average = {k: v.clone() for k, v in self._weights.items()}

    def rate(self) -> float:
        """Learning rate of the next step."""
        warm_up = min(1.0, (self.step + 1) / self.recipe.warm_up)
        if not self.decay_steps:
            return self.recipe.lr * warm_up
        left = 1 - (self.step - self.first_step) / self.decay_steps
        return self.recipe.lr * warm_up * max(left, 0.01)

    def train_step(
        self, levels: list[Tensor], samples: list[Any]
    ) -> dict[str, Tensor]:
        """Perform a step on cached features and return the logged values.

        Args:
            levels: Maps of the backbone, on any device.
            samples: Labels on the device of the training.
        """
        begin = time.process_time()
        self.optimizer.set_rate(self.rate())
        *maps, pose_map = [x.to(self.device) for x in levels]
        regularization = {}
        if 'keep_pyramid' in self.recipe:
            *maps[1:], change = recompute(self.model.backbone, *maps[1:])
            regularization['loss_pyramid'] = self.recipe.keep_pyramid * change
        if noise := self.recipe.get('feature_noise', 0.0):
            maps = [_add_noise(x, noise) for x in maps]
        features = self.model.apply_neck([*maps, pose_map])
        outputs = self.model.forward_transformer(features, samples)
        losses = self.model.bbox_head.loss(
            **outputs, batch_data_samples=samples
        )
        loss, log = self.model.parse_losses({**losses, **regularization})
        self.optimizer.zero_grad()
        loss.backward()
        self._share_gradients()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        self._update_average()
        self.seconds += time.process_time() - begin
        return log

    def _share_gradients(self) -> None:
        """Average gradients over all processes."""
        if self.processes.world_size == 1:
            return
        for p in self.parameters:
            if p.grad is None:  # unused in this batch
                p.grad = torch.zeros_like(p)
        all_reduce_params([p.grad for p in self.parameters], op='mean')

    @torch.no_grad()
    def _update_average(self) -> None:
        momentum = max(self.recipe.ema, 10 / (10 + self.step))
        weights = self._weights
        numbers = [k for k, v in weights.items() if v.is_floating_point()]
        get_ema_multi_avg_fn(1 - momentum)(
            [self.average[k] for k in numbers],
            [weights[k] for k in numbers],
            None,
        )
        for name in weights.keys() - set(numbers):
            self.average[name].copy_(weights[name])

    def save(self) -> None:
        """Write ``last.pth`` (to resume) and ``average.pth`` (for use)."""
        optimizer = self.optimizer.state_dict()
        if not self.processes.is_main:
            return
        self.state.mkdir(parents=True, exist_ok=True)
        progress = dict(
            step=self.step,
            first_step=self.first_step,
            seconds=self.seconds,
        )
        _save(
            dict(
                state_dict=self._weights,
                average=self.average,
                optimizer=optimizer,
                progress=progress,
            ),
            self.state / 'last.pth',
        )
        backbone = {
            k: v
            for k, v in self.model.state_dict().items()
            if k.startswith(_BACKBONE) and k not in self.average
        }
        weights = {**backbone, **self.average}
        meta = dict(progress)
        _save(dict(state_dict=weights, meta=meta), self.state / 'average.pth')

    def begin(self, start: Path | None, weights: Path | None) -> None:
        """Resume this training, or initialize it.

        Args:
            start: ``last.pth`` of another training to continue.
            weights: Weights of a model to start from.
        """
        if weights is not None:
            # Always, because last.pth does not contain the backbone.
            self.load_weights(weights)
        last = self.state / 'last.pth'
        if last.exists():
            self.load(last)
        elif start is not None:
            self.load(start)
            self.first_step = self.step

    def load_weights(self, path: Path) -> None:
        """Load the weights of a model, such as the one of the package."""
        weights = read_checkpoint(path)['state_dict']
        self.model.load_state_dict(weights, strict=False)
        self._start_average()

    def load(self, path: Path) -> None:
        """Load a ``last.pth``."""
        content = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(content['state_dict'], strict=False)
        self.average = content['average']
        self.optimizer.load_state_dict(content['optimizer'])
        for name, value in content['progress'].items():
            setattr(self, name, value)


def _add_noise(maps: Tensor, strength: float) -> Tensor:
    """Add random gains of channels and noise to maps ``(B, C, H, W)``.

    This makes the network robust to the differences between the features of
    photographs and of synthetic images.
    """
    gains = 1 + strength * torch.randn_like(maps[:, :, :1, :1])
    deviation = maps.std((0, 2, 3), keepdim=True)
    return maps * gains + strength * deviation * torch.randn_like(maps)


def _save(content: dict, path: Path) -> None:
    temporary = path.with_name(f'.{path.name}.part')
    torch.save(content, temporary)
    temporary.replace(path)


def _pretrained(path: Path) -> dict[str, str]:
    """``init_cfg`` for weights of a backbone or of a detector with one."""
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    weights = read_checkpoint(path)['state_dict']
    if any(name.startswith(_BACKBONE) for name in weights):
        init_cfg['prefix'] = _BACKBONE
    return init_cfg


class Log:
    """Log of mean values over intervals of steps, as lines of JSON.

    Args:
        path: File to append to; ``None`` for no log.
        interval: Number of steps per line.
    """

    def __init__(self, path: Path | None, interval: int) -> None:
        self.path = path
        self.interval = interval
        self._start()

    def _start(self) -> None:
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._num_images = 0
        self._begin = time.perf_counter()

    def add(
        self,
        training: Training,
        data: CachedData,
        num_images: int,
        values: dict[str, Tensor],
    ) -> None:
        """Add the values of a step; write a line after each interval."""
        if self.path is None:
            return
        for name in LOGGED:
            if name in values:
                self._sums[name].append(values[name].item())
        self._num_images += num_images * data.processes.world_size
        if training.step % self.interval:
            return
        wall = time.perf_counter() - self._begin
        record = dict(
            step=training.step,
            images=data.count(),
            rate=training.rate(),
            seconds=round(training.seconds),
            images_per_second=round(self._num_images / wall, 1),
            **{k: round(float(np.mean(v)), 4) for k, v in self._sums.items()},
        )
        with self.path.open('a') as file:
            file.write(json.dumps(record) + '\n')
        print(json.dumps(record), flush=True)  # noqa: T201
        self._start()


def run(args: argparse.Namespace) -> None:
    """Train until the last step."""
    torch.set_num_threads(args.threads)
    processes = DistContext()
    if 'WORLD_SIZE' in os.environ:
        processes = DistContext.join()
    device = processes.device(args.device) or args.device
    config = Config.fromfile(args.config)
    init_default_scope('aios')
    MMLogger.get_current_instance().setLevel('WARNING')
    if args.backbone is not None:
        config.model.backbone.init_cfg = _pretrained(args.backbone)
    elif args.weights is None:
        sys.exit(
            'error: --backbone is needed (or --weights), also to resume: '
            'checkpoints do not contain the frozen backbone'
        )
    torch.manual_seed(0)  # the same initial weights in all processes
    training = Training(
        config, args.state, device, args.decay_steps, processes
    )
    training.begin(args.start, args.weights)
    torch.manual_seed(processes.rank)
    end = args.steps or float('inf')
    if args.decay_steps:
        end = training.first_step + args.decay_steps
    data = CachedData(config, args.data, device, processes)
    args.state.mkdir(parents=True, exist_ok=True)
    log_file = args.state / 'log.jsonl' if processes.is_main else None
    log = Log(log_file, args.log_interval)
    while training.step < end:
        data.find(training.model, not args.no_cache)
        # An interrupted epoch is not resumed but shuffled anew.
        rng = np.random.default_rng([args.seed, training.step])
        for levels, samples in data.batches(rng, config.recipe.batch_size):
            values = training.train_step(levels, samples)
            log.add(training, data, len(samples), values)
            if training.step % args.save_interval == 0:
                training.save()
                if training.step % args.rescan_interval == 0:
                    break
            if training.step >= end:
                break
    training.save()


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config')
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--state', type=Path, required=True)
    parser.add_argument(
        '--backbone',
        type=Path,
        help='weights of movenet_to_mm.py, or of a model with the same '
        'backbone; needed without --weights',
    )
    parser.add_argument(
        '--start', type=Path, help='last.pth of another training to start from'
    )
    parser.add_argument(
        '--weights', type=Path, help='initial weights, without --start'
    )
    parser.add_argument(
        '--steps',
        type=int,
        default=0,
        help='number of steps at a constant rate; 0: no limit',
    )
    parser.add_argument('--decay-steps', type=int, default=0)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--no-cache', action='store_true')
    parser.add_argument('--log-interval', type=int, default=25)
    parser.add_argument('--save-interval', type=int, default=100)
    parser.add_argument('--rescan-interval', type=int, default=500)
    return parser


if __name__ == '__main__':
    with errors_in_one_line():
        run(build_parser().parse_args())
