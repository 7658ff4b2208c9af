# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Atomic checkpoints of plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from aios.registry import HOOKS
from aios.utils.openmmlab import as_plain
from aios.utils.safe_io import atomic_write, remove_half_written


class AtomicLocalBackend(LocalBackend):
    """Local file backend with atomic writes.

    Registered in MMEngine as ``backend_args=dict(backend='atomic')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a temporary file and rename it."""
        with atomic_write(filepath, overwrite=True) as stream:
            stream.write(obj)


register_backend('atomic', AtomicLocalBackend, force=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's hook with atomic writes.

    A checkpoint is written completely before ``last_checkpoint`` is updated
    and an outdated checkpoint removed, so that training can be resumed at any
    time.  Configs in the metadata become plain dictionaries, which are
    readable without MMEngine.

    Args:
        *args: See :class:`mmengine.hooks.CheckpointHook`.
        backend_args: Arguments of the file backend; by default, for local
            files, :class:`AtomicLocalBackend`.
        **kwargs: See :class:`mmengine.hooks.CheckpointHook`.
    """

    def __init__(
        self,
        *args: Any,
        backend_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        is_remote = '://' in str(kwargs.get('out_dir') or '')
        if (
            backend_args is None
            and not is_remote
            and kwargs.get('file_client_args') is None
        ):
            backend_args = dict(backend='atomic')
        super().__init__(*args, backend_args=backend_args, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Remove incomplete files of killed processes."""
        super().before_train(runner)
        if is_main_process() and '://' not in str(self.out_dir):
            remove_half_written(self.out_dir)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Replace configs in the metadata by plain dictionaries."""
        checkpoint['meta'] = as_plain(checkpoint['meta'])
        hub = checkpoint.get('message_hub')
        if hub is not None:
            info = as_plain(hub['runtime_info'])
            checkpoint['message_hub'] = dict(hub, runtime_info=info)

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Avoid a wrong warning of the runner about different datasets.

        The runner compares pickles, which differ between a config and an
        equal dictionary.
        """
        if not runner._resume:
            return
        meta = checkpoint.get('meta') or {}
        dataset = getattr(runner.train_dataloader, 'dataset', None)
        ours = getattr(dataset, 'metainfo', None)
        stored = meta.get('dataset_meta')
        if repr(as_plain(ours)) == repr(as_plain(stored)):
            meta['dataset_meta'] = ours

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict[str, Any]
    ) -> None:
        outdated = self._register_step(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        last = Path(runner.work_dir, 'last_checkpoint')
        with atomic_write(last, overwrite=True) as stream:
            stream.write(self.last_ckpt.encode())
        for path in outdated:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # one file per process
                self.file_backend.rmtree(path)

    def _register_step(self, runner: Runner, step: int) -> list[str]:
        """Register a new checkpoint and return the paths of outdated ones."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = self.keep_ckpt_ids
        if step in kept:
            return []
        outdated = [kept[0]] if len(kept) == kept.maxlen else []
        kept.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        return [
            self.file_backend.join_path(
                self.out_dir, self.filename_tmpl.format(number)
            )
            for number in outdated
        ]
