#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw the learning rate (or momentum) of a config over the training.

Neither the model nor the data are needed: a schedule depends on the number of
steps per epoch alone. Groups of ``paramwise_cfg`` have a curve each.

Examples:
    python tools/analysis_tools/vis_scheduler.py \
        configs/aios/aios_r50_8xb2-20e_agora.py --dataset-size 14000 --gpus 8
    python tools/analysis_tools/vis_scheduler.py CONFIG --parameter momentum
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from aios.registry import PARAM_SCHEDULERS
from aios.utils.command_line import (
    add_cfg_options,
    add_config_argument,
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
    read_config,
)
from aios.utils.safe_io import atomic_write


def build_parser() -> argparse.ArgumentParser:
    """The command line; like mmyolo's tool of the same name."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument(
        '--parameter', choices=['lr', 'momentum'], default='lr'
    )
    parser.add_argument(
        '--dataset-size',
        type=int,
        help='pictures per epoch (default: epoch_length of the sampler)',
    )
    parser.add_argument(
        '--gpus', type=int, default=1, help='processes (default: 1)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='picture (default: outputs/vis_scheduler/CONFIG-PARAMETER.png)',
    )
    add_overwrite_option(parser, 'OUT if it exists')
    add_cfg_options(parser)
    return parser


class StandIn(nn.Module):
    """A parameter for each group of ``paramwise_cfg``, and one of no group."""

    def __init__(self, groups: list[str]) -> None:
        super().__init__()
        for name in [*groups, 'other']:
            module: nn.Module = self
            *parents, last = name.split('.')
            for part in parents:
                if not hasattr(module, part):
                    module.add_module(part, nn.Module())
                module = getattr(module, part)
            if not hasattr(module, last):
                module.add_module(last, nn.Linear(1, 1, bias=False))


def steps_per_epoch(config: Config, args: argparse.Namespace) -> int:
    """Steps of an epoch, or 1 where steps are counted without epochs."""
    if 'max_iters' in config.train_cfg:
        return 1
    loader = config.train_dataloader
    size = args.dataset_size or loader.get('sampler', {}).get('epoch_length')
    if not isinstance(size, int):
        sys.exit('error: --dataset-size is needed: the config has no number')
    return max(size // (loader.batch_size * args.gpus), 1)


def trace(config: Config, parameter: str, epoch_length: int) -> dict:
    """Values of the parameter at each step.

    Args:
        config: Config of a training.
        parameter: ``lr`` or ``momentum``.
        epoch_length: Steps per epoch.

    Returns:
        Name of a group -> one value per step.
    """
    groups = list(
        config.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {})
    )
    model = StandIn(groups)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    names = {
        id(parameter): name.removesuffix('.weight')
        for name, parameter in model.named_parameters()
    }
    schedulers = [
        _build_scheduler(cfg, wrapper, epoch_length)
        for cfg in _as_list(config.get('param_scheduler'))
    ]
    by_epoch = 'max_epochs' in config.train_cfg
    steps = (
        config.train_cfg.max_epochs * epoch_length
        if by_epoch
        else config.train_cfg.max_iters
    )
    values: dict[str, list[float]] = {}
    for step in range(steps):
        for group in wrapper.param_groups:
            name = names.get(id(group['params'][0]))
            if name is None:
                continue  # MMEngine's record of the base learning rate
            value = group[parameter] if parameter == 'lr' else _momentum(group)
            values.setdefault(name, []).append(value)
        end_of_epoch = by_epoch and (step + 1) % epoch_length == 0
        wrapper.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or end_of_epoch:
                scheduler.step()
    return values


def _as_list(schedulers: object) -> list:
    return schedulers if isinstance(schedulers, list) else [schedulers]


def _build_scheduler(cfg, wrapper, epoch_length):
    cfg = dict(cfg)
    kind = cfg.pop('type')
    cls = PARAM_SCHEDULERS.get(kind) if isinstance(kind, str) else kind
    if cfg.pop('convert_to_iter_based', False):
        return cls.build_iter_from_epoch(
            wrapper, **cfg, epoch_length=epoch_length
        )
    return cls(wrapper, **cfg)


def _momentum(group: dict) -> float:
    """AdamW calls it the first of its betas."""
    return group['betas'][0] if 'betas' in group else group['momentum']


def draw(values: dict[str, list[float]], title: str, per_epoch: int) -> Figure:
    """One curve per group, over epochs or steps."""
    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.subplots()
    for name, curve in values.items():
        axes.plot(
            [i / per_epoch for i in range(len(curve))], curve, label=name
        )
    axes.set(title=title, xlabel='step' if per_epoch == 1 else 'epoch')
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    config = read_config(args.config, args.cfg_options)
    missing = {'optim_wrapper', 'train_cfg', 'train_dataloader'} - set(config)
    if missing:
        sys.exit(f'error: {args.config} has no {", ".join(sorted(missing))}')
    init_default_scope(config.get('default_scope', 'aios'))
    epoch_length = steps_per_epoch(config, args)
    values = trace(config, args.parameter, epoch_length)
    name = Path(args.config.split('::')[-1]).stem
    path = args.out or Path(
        'outputs', 'vis_scheduler', f'{name}-{args.parameter}.png'
    )
    figure = draw(values, f'{args.parameter} of {name}', epoch_length)
    with atomic_write(path, args.overwrite) as stream:
        figure.savefig(stream, format=path.suffix[1:] or 'png', dpi=120)
    for group, curve in values.items():
        print(
            f'{group}: {len(curve)} steps, first {curve[0]:.4g}, '
            f'highest {max(curve):.4g}, last {curve[-1]:.4g}'
        )
    print(path)


if __name__ == '__main__':
    main()
