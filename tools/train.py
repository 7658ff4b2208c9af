#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Train a model.

Examples:
    python tools/train.py configs/aios/aios_tiny_1xb8-24e_synthetic.py
    python tools/train.py CONFIG --resume
    bash tools/dist_train.sh CONFIG 8 --amp
"""

from __future__ import annotations

import argparse
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.config import Config

from aios.engine.hooks.resume_fallback_hook import find_checkpoints
from aios.engine.launch import (
    add_run_options,
    build_runner,
    load_run_config,
    unused_parameters_named,
)
from aios.utils.command_line import errors_in_one_line
from aios.utils.locking import folder_lock
from aios.utils.openmmlab import type_name


def build_parser() -> argparse.ArgumentParser:
    """The command line; the options of mmdet's tool of the same name."""
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: bfloat16 if the GPU supports it, else float16 '
        'with loss scaling',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size of '
        'the config to the actual batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint; without a value (or with "auto") '
        'from the latest undamaged one in the work folder, or from scratch '
        'if there is none',
    )
    add_run_options(parser)
    return parser


def use_mixed_precision(config: Config) -> None:
    """Replace a plain optimizer wrapper by one with autocast."""
    kind = type_name(config.optim_wrapper)
    if kind in ('AmpOptimWrapper', 'AsyncAmpOptimWrapper'):
        return
    if kind == 'ShardedOptimWrapper':
        sys.exit(
            'error: --amp is not for FSDP, which has its own mixed '
            'precision; see docs/en/scale.md'
        )
    if kind not in ('', 'OptimWrapper', 'AsyncOptimWrapper'):
        sys.exit(
            'error: --amp replaces OptimWrapper and AsyncOptimWrapper; '
            f'optim_wrapper.type is {kind}'
        )
    if not torch.cuda.is_available():
        sys.exit('error: --amp needs a GPU')
    bfloat16 = torch.cuda.is_bf16_supported()
    config.optim_wrapper.type = 'AsyncAmpOptimWrapper'
    config.optim_wrapper.dtype = 'bfloat16' if bfloat16 else 'float16'
    config.optim_wrapper.loss_scale = (
        # bfloat16 has the range of float32.
        dict(enabled=False) if bfloat16 else 'dynamic'
    )


def scale_learning_rate(config: Config) -> None:
    """Enable MMEngine's linear scaling of the learning rate."""
    if 'base_batch_size' not in (config.get('auto_scale_lr') or {}):
        sys.exit(
            f'error: --auto-scale-lr: {config.filename} has no '
            'auto_scale_lr.base_batch_size'
        )
    config.auto_scale_lr.enable = True


def choose_resume(config: Config, resume: str | None) -> None:
    """Set the checkpoint to resume from, or warn without ``--resume``."""
    hooks = config.get('default_hooks') or {}
    checkpoints = find_checkpoints(
        Path(config.work_dir).absolute(),
        (hooks.get('checkpoint') or {}).get('out_dir'),
    )
    if resume is None:
        if checkpoints and not config.get('resume'):
            warnings.warn(
                f'{config.work_dir} contains checkpoints of an earlier '
                'training, which this training will replace. To continue it '
                'use --resume',
                stacklevel=2,
            )
        return
    if resume == 'auto':
        if checkpoints:
            config.resume = True
            # MMEngine would resume from load_from.
            config.start_from = config.get('load_from')
            config.load_from = None
        return
    config.resume = True
    if '://' not in resume and not Path(resume).is_file():
        sys.exit(f'error: --resume {resume}: no such file')
    config.load_from = resume


def main(argv: list[str] | None = None) -> None:
    """Train."""
    args = build_parser().parse_args(argv)
    with errors_in_one_line():
        _train(args)


def _train(args: argparse.Namespace) -> None:
    config = load_run_config(args)
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        if config.get(name) is None:
            sys.exit(f'error: {config.filename} has no {name}')
    if args.amp:
        use_mixed_precision(config)
    if args.auto_scale_lr:
        scale_learning_rate(config)
    choose_resume(config, args.resume)
    runner = build_runner(config)
    with (
        folder_lock(runner.work_dir) if runner.rank == 0 else nullcontext(),
        unused_parameters_named(),
    ):
        runner.train()


if __name__ == '__main__':
    main()
