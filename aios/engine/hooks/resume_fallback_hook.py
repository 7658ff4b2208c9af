# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Resuming from the last intact checkpoint."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from aios.registry import HOOKS

_NAME = re.compile(r'(epoch|iter)_(\d+)\.pth')


def find_damage(path: Path) -> str | None:
    """Check a checkpoint file for damage.

    Reads the file once and compares checksums; nothing is unpickled.

    Args:
        path: A file of :func:`torch.save`.

    Returns:
        Description of the damage, or ``None``.
    """
    if not path.is_file():
        return 'there is no such file'
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        return f'{error} ({path.stat().st_size} bytes)'
    return None if member is None else f'{member} in it is damaged'


@HOOKS.register_module()
class ResumeFallbackHook(Hook):
    """Let ``--resume auto`` skip damaged checkpoints.

    MMEngine fails if the last checkpoint is incomplete, such as after a full
    disk or a power cut.  This hook warns and uses the newest intact
    ``epoch_*.pth`` or ``iter_*.pth`` of the work folder, or of the checkpoint
    hook's ``out_dir``.  If the only
    checkpoint is damaged, training starts from the beginning, with the
    weights of ``start_from`` in the config.  It also finds the checkpoints of
    a work folder that was moved.
    """

    def before_run(self, runner: Runner) -> None:
        """Select the checkpoint before the runner searches for one.

        Raises:
            RuntimeError: If there are several checkpoints, all damaged.
        """
        # The runner has no public attribute for this.
        if not runner._resume or runner._load_from is not None:
            return
        out_dir = next(
            (x.out_dir for x in runner.hooks if isinstance(x, CheckpointHook)),
            None,
        )
        if '://' in str(out_dir):  # left to MMEngine
            return
        choice: list = [None]
        if is_main_process():
            choice = [_choose(runner, out_dir)]
        broadcast_object_list(choice)
        if isinstance(choice[0], RuntimeError):
            raise choice[0]
        runner._load_from = choice[0] or runner.cfg.get('start_from')
        runner._resume = choice[0] is not None


def find_checkpoints(work_dir: Path, out_dir: str | None = None) -> list[Path]:
    """Checkpoints of a training, the last one first.

    Args:
        work_dir: The work folder; it need not exist.
        out_dir: Option of the checkpoint hook, the parent of the folder of
            checkpoints; default: they are in the work folder.
    """
    folder = work_dir if out_dir is None else Path(out_dir, work_dir.name)
    marker = work_dir / 'last_checkpoint'
    # The name in it is absolute; the folder may have moved.
    last = Path(marker.read_text().strip()).name if marker.is_file() else ''
    found = [folder / last] if last else []
    return found + [p for p in _newest_first(folder) if p not in found]


def _choose(runner: Runner, out_dir: str | None) -> str | None | RuntimeError:
    """The checkpoint to resume from, or None to start from scratch."""
    candidates = find_checkpoints(Path(runner.work_dir), out_dir)
    for path in candidates:
        damage = find_damage(path)
        if damage is None:
            runner.logger.info(f'resuming from {path}')
            return str(path)
        runner.logger.warning(
            f'cannot resume from {path}: {damage}; trying an older checkpoint'
        )
    if len(candidates) == 1:
        runner.logger.warning(
            'found no older checkpoint: starting from the beginning'
        )
    elif candidates:
        # Not raised here, because other processes wait for the broadcast.
        return RuntimeError(
            f'cannot resume from any checkpoint in {candidates[0].parent}; '
            'to start from the beginning, omit --resume'
        )
    return None


def _newest_first(folder: Path) -> list[Path]:
    found = [(_NAME.fullmatch(p.name), p) for p in folder.glob('*.pth')]
    numbered = [(int(match[2]), p) for match, p in found if match]
    return [path for _, path in sorted(numbered, reverse=True)]
