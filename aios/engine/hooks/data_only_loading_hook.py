# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Safe loading of checkpoints with any tool that runs a config."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from aios.models.checkpoints import install_loader
from aios.registry import HOOKS

_HUB_ENTRIES = ('log_scalars', 'runtime_info', 'resumed_keys')


@HOOKS.register_module()
class DataOnlyLoadingHook(Hook):
    """Reads checkpoints without executing code from them.

    MMEngine falls back to unpickling, which may execute any code.  After this
    hook, ``load_from``, ``resume`` and ``init_cfg`` are read by
    :func:`aios.models.checkpoints.load_checkpoint` in this process.
    """

    priority = 'HIGHEST'

    def before_run(self, runner: Runner) -> None:
        """Replace MMEngine's readers."""
        install_loader()

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Check that training can be resumed from a checkpoint.

        Raises:
            ValueError: If MMEngine's message hub is missing or incomplete, or
                the optimizer is another one.
        """
        if not runner._resume:
            return
        hub = checkpoint.get('message_hub')
        entries = hub if isinstance(hub, dict) else {}
        problems = [
            f'message_hub has no {name}'
            for name in _HUB_ENTRIES
            if name not in entries
        ]
        source = runner._load_from or runner.work_dir
        if 'optimizer' not in checkpoint:  # such as best_*.pth of MMEngine
            runner.logger.warning(
                f'{source}: no state of the optimizer; the training will '
                'differ from one without interruption'
            )
        averages = any(isinstance(hook, EMAHook) for hook in runner.hooks)
        if 'ema_state_dict' in checkpoint and not averages:
            runner.logger.warning(
                f'{source}: its weights are averages, which EMAHook replaces '
                'by those of the training (ema_state_dict); without the hook '
                'the training continues from the averages'
            )
        stored = (checkpoint.get('optimizer') or {}).get('param_groups')
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        if stored and optimizer is not None:
            theirs, ours = map(_describe, (stored, optimizer.param_groups))
            if theirs != ours:
                problems.append(f'its optimizer has {theirs}, not {ours}')
        if problems:
            raise ValueError(
                f'{source}: {problems[0]}; a training with this config cannot '
                'be resumed from this checkpoint (load_from without resume '
                'loads only its weights)'
            )


def _describe(groups: list[dict[str, Any]]) -> str:
    count = sum(len(group['params']) for group in groups)
    options = ''.join(sorted(groups[0].keys() & {'betas', 'momentum'}))
    return f'{count} parameters in {len(groups)} groups with {options}'
