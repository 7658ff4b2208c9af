# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Resume from the last checkpoint that is whole."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from aios.registry import HOOKS

_NAME = re.compile(r'(epoch|iter)_(\d+)\.pth')


def find_damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file.

    Reads the file once and compares its check sums; nothing is unpickled.

    Args:
        path: A file of :func:`torch.save`, or what should be one.

    Returns:
        ``None`` if nothing is wrong.
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
    """Let ``--resume auto`` survive a damaged last checkpoint.

    A full disk or a power cut leaves half a file, and MMEngine stops there.
    This hook warns, and takes the newest ``epoch_*.pth`` or ``iter_*.pth``
    of the work folder that is whole.  If the first one is all there is, and
    it is damaged, training begins anew.  It also finds the checkpoints of a
    work folder that was moved.
    """

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint, before the runner looks for one.

        Raises:
            RuntimeError: If there are several checkpoints, all damaged.
        """
        # There is no public way to tell a runner where to resume from.
        if not runner._resume or runner._load_from is not None:
            return
        choice: list = [None]
        if is_main_process():
            choice = [_choose(runner)]
        broadcast_object_list(choice)
        if isinstance(choice[0], RuntimeError):
            raise choice[0]
        runner._load_from = choice[0]
        runner._resume = choice[0] is not None


def _choose(runner: Runner) -> str | None | RuntimeError:
    """A checkpoint to resume from; None if there never was one."""
    folder = Path(runner.work_dir)
    # The name in `last_checkpoint` is absolute; the folder may have moved.
    last = Path(find_latest_checkpoint(runner.work_dir) or '').name
    candidates = [folder / last] if last else []
    candidates += [p for p in _newest_first(folder) if p not in candidates]
    for path in candidates:
        damage = find_damage(path)
        if damage is None:
            runner.logger.info(f'resuming from {path}')
            return str(path)
        runner.logger.warning(
            f'{path} cannot be resumed from: {damage}; trying an older one'
        )
    if len(candidates) == 1:
        runner.logger.warning('there is no older one: begins anew')
    elif candidates:
        # Not raised here: the other processes wait for an answer.
        return RuntimeError(
            f'no checkpoint in {folder} can be resumed from; to start from '
            'the beginning, leave out --resume'
        )
    return None


def _newest_first(folder: Path) -> list[Path]:
    found = [(_NAME.fullmatch(p.name), p) for p in folder.glob('*.pth')]
    numbered = [(int(match[2]), p) for match, p in found if match]
    return [path for _, path in sorted(numbered, reverse=True)]
