# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Common parts of ``tools/train.py`` and ``tools/test.py``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import distributed

from aios.engine.hooks import ResumeFallbackHook
from aios.models.checkpoints import install_loader

# Must precede the reading of configs with `_base_ = 'aios::...'`.
from aios.registry import RUNNERS
from aios.utils.command_line import add_cfg_options, read_config
from aios.utils.openmmlab import type_name
from aios.utils.processes import end_with_parent

_MMENGINE_HOOKS = (
    *('runtime_info', 'timer', 'sampler_seed', 'logger'),
    *('param_scheduler', 'checkpoint'),
)
_SET_BY_LAUNCHER = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_PROCID'}


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share."""
    parser.add_argument(
        '--work-dir',
        help='folder for logs and results (default: work_dir of the config, '
        'or work_dirs/CONFIG_NAME)',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='launcher of the processes, see dist_train.sh (default: '
        '%(default)s)',
    )
    # torch.distributed.launch passes it; torchrun sets a variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_run_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the options of :func:`add_run_options`.

    Args:
        args: Parsed options, with ``config``.

    Returns:
        The config, with ``launcher`` and ``work_dir``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is not a config, an option is invalid, or the
            launcher did not start this process.
    """
    variable = _SET_BY_LAUNCHER.get(args.launcher)
    if variable is not None and variable not in os.environ:
        raise ValueError(
            f'--launcher {args.launcher}: the launcher did not set {variable};'
            ' start with tools/dist_train.sh, tools/slurm_train.sh, ...'
        )
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
    """Start on CPUs; MMEngine would select a GPU for each process."""
    if not distributed.is_initialized():
        options = config.get('env_cfg', {}).get('dist_cfg', {})
        seconds = options.get('timeout')
        distributed.init_process_group(
            backend='gloo',
            timeout=None if seconds is None else timedelta(seconds=seconds),
        )
    if 'strategy' in config:  # of FlexibleRunner
        # The default is the GPU with the rank of the process.
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


def _reject_unsupported(config: Config) -> None:
    """Reject options that would fail later in MMEngine or PyTorch."""
    if config.get('compile'):
        raise ValueError(
            'compile: MMEngine compiles the training step including the '
            'optimizer, which torch.compile does not support; remove it. For '
            'compiled inference see docs/en/deployment.md'
        )
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = optimizer.get('type')
    scope = config.get('default_scope', 'mmengine')
    with OPTIMIZERS.switch_scope_and_registry(scope) as registry:
        if isinstance(kind, str) and registry.get(kind) is None:
            raise ValueError(
                f'optim_wrapper.optimizer.type: unknown optimizer {kind!r}'
            )
    hooks = [
        type_name(hook)
        for hook in config.get('custom_hooks') or ()
        if isinstance(hook, Mapping)  # MMEngine rejects others
    ]
    runner = type_name(dict(type=config.get('runner_type')))
    if runner == 'FlexibleRunner' and 'EMAHook' in hooks:
        raise ValueError(
            'custom_hooks: EMAHook does not support runner_type '
            'FlexibleRunner, because it would average the shards of one '
            'process; remove it. See docs/en/scale.md'
        )


def _drop_disabled_hooks(config: Config) -> None:
    """Let ``None`` remove any default hook; MMEngine removes its own only."""
    hooks = config.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in _MMENGINE_HOOKS:
            del hooks[name]


def build_runner(config: Config) -> Runner:
    """Build the runner of a config, of class ``runner_type`` if set.

    Afterwards MMEngine reads checkpoints as data.

    Raises:
        ValueError: If the config has an unsupported option.
    """
    _reject_unsupported(config)
    _drop_disabled_hooks(config)
    install_loader()
    if 'runner_type' not in config:
        return Runner.from_cfg(config)
    runner = RUNNERS.build(config)
    for hook in runner.hooks:
        if isinstance(hook, ResumeFallbackHook):
            # FlexibleRunner calls it only after it has read a checkpoint.
            hook.before_run(runner)
    return runner


@contextmanager
def unused_parameters_named() -> Iterator[None]:
    """Explain errors of DistributedDataParallel about unused parameters.

    Raises:
        ValueError: If parameters are not used by the loss, as in some
            backbones (MobileNetV2, Hourglass).
    """
    try:
        yield
    except RuntimeError as error:
        if 'find_unused_parameters' not in str(error):
            raise
        raise ValueError(
            'some parameters do not contribute to the loss, but distributed '
            'training waits for their gradients. Set find_unused_parameters '
            '= True in the config, or freeze them; '
            f'TORCH_DISTRIBUTED_DEBUG=INFO lists them ({error})'
        ) from error
