# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What ``tools/train.py`` and ``tools/test.py`` have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import distributed

from aios.models.checkpoints import install_loader

# Before a config is read: `_base_ = 'aios::...'` works from now on.
from aios.registry import RUNNERS
from aios.utils.command_line import add_cfg_options, read_config
from aios.utils.processes import end_with_parent


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument(
        '--work-dir',
        help='folder for logs and results (default: work_dir of the config, '
        'else work_dirs/CONFIG_NAME)',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes, see dist_train.sh',
    )
    # torch.distributed.launch passes it; torchrun sets a variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_run_config(args: argparse.Namespace) -> Config:
    """Read the config and put the options of :func:`add_run_options` in.

    Args:
        args: Parsed options, with ``config`` besides.

    Returns:
        The config, with ``launcher`` and ``work_dir``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is none, or an option does not fit.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = read_config(args.config, args.cfg_options)
    config.launcher = args.launcher
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if args.launcher == 'pytorch':
        end_with_parent()
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        _distribute_over_cpus(config)
    return config


def _distribute_over_cpus(config: Config) -> None:
    """MMEngine's own start-up would choose a GPU for each process."""
    if not distributed.is_initialized():
        options = config.get('env_cfg', {}).get('dist_cfg', {})
        seconds = options.get('timeout')
        distributed.init_process_group(
            backend='gloo',
            timeout=None if seconds is None else timedelta(seconds=seconds),
        )
    if 'strategy' in config:  # of FlexibleRunner
        # Otherwise it takes the GPU with the number of the process.
        wrapper = dict(config.strategy.get('model_wrapper') or {})
        config.strategy.model_wrapper = dict(wrapper, device_id='cpu')
        return
    wrapper = ConfigDict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=config.get('find_unused_parameters', False),
    )
    wrapper.update(config.get('model_wrapper_cfg') or {})
    wrapper.device_ids = None
    config.model_wrapper_cfg = wrapper


def _refuse_unsupported(config: Config) -> None:
    """What would end in an error of MMEngine or PyTorch after a while."""
    if config.get('compile'):
        raise ValueError(
            'compile: MMEngine compiles the training step with the optimizer '
            'in it, which torch.compile does not support; leave it out. '
            'Trained networks compile: docs/en/deployment.md'
        )
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = optimizer.get('type')
    scope = config.get('default_scope', 'mmengine')
    with OPTIMIZERS.switch_scope_and_registry(scope) as registry:
        if isinstance(kind, str) and registry.get(kind) is None:
            raise ValueError(
                f'optim_wrapper.optimizer.type: there is no optimizer {kind!r}'
            )
    hooks = [hook.get('type') for hook in config.get('custom_hooks') or ()]
    if config.get('runner_type') == 'FlexibleRunner' and 'EMAHook' in hooks:
        raise ValueError(
            'custom_hooks: EMAHook does not work with runner_type '
            'FlexibleRunner (it would average the shards of one process, and '
            'cannot be resumed); leave it out. See docs/en/scale.md'
        )


def build_runner(config: Config) -> Runner:
    """The runner of a config, of class ``runner_type`` if it has one.

    MMEngine reads checkpoints as data from now on.

    Raises:
        ValueError: If the config asks for what MMEngine cannot do.
    """
    _refuse_unsupported(config)
    install_loader()
    if 'runner_type' in config:
        return RUNNERS.build(config)
    return Runner.from_cfg(config)


@contextmanager
def unused_parameters_named() -> Iterator[None]:
    """Say which option helps if DistributedDataParallel waits in vain.

    Raises:
        ValueError: If parameters take no part in the loss, as those of some
            backbones (MobileNetV2, Hourglass).
    """
    try:
        yield
    except RuntimeError as error:
        if 'find_unused_parameters' not in str(error):
            raise
        raise ValueError(
            'some parameters take no part in the loss, so that the processes '
            'wait for their gradients in vain. Set find_unused_parameters = '
            'True in the config, or freeze them; TORCH_DISTRIBUTED_DEBUG='
            f'INFO names them ({error})'
        ) from error
