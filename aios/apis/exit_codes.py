# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Exit codes of the demos, and their messages."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from aios.body_models import MissingBodyModelError
from aios.runtime import OnnxError
from aios.utils.command_line import escape_unprintable, printable

INTERRUPTED = 130  # exit code of shells for Ctrl-C
_ERRORS = MissingBodyModelError, OnnxError, OSError, ValueError


def fail(message: Any, code: int = 1) -> NoReturn:
    """End the program with a message."""
    print(f'error: {printable(str(message))}', file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


def run(
    action: Callable[[], int], out_dir: str | None, resumable: bool = True
) -> int:
    """Run an action, and turn errors and interrupts into exit codes.

    Args:
        action: The action.
        out_dir: Folder of the results, for messages.
        resumable: Whether ``--resume`` can continue the action.

    Returns:
        The result of the action.

    Raises:
        SystemExit: After an error with 1, after an interrupt with 130.
    """
    escape_unprintable()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return action()
    except KeyboardInterrupt:
        text = 'interrupted'
        if out_dir and Path(out_dir).exists():
            text += f'; results so far are in {out_dir}'
        if resumable:
            text += '; the same command with --resume continues'
        fail(text, INTERRUPTED)
    except _ERRORS as error:
        fail(_advice(error, out_dir))
    except RuntimeError as error:
        if 'out of memory' not in str(error):  # of PyTorch or ONNX Runtime
            raise
        fail(f'{error}\nUse a smaller --batch-size, or --device cpu')
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> NoReturn:
    """Handle SIGTERM, as from a job scheduler, like Ctrl-C."""
    raise KeyboardInterrupt


def _advice(error: Exception, out_dir: str | None) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f'no space left on the disk of {out_dir} or TMPDIR ({error}); '
            'results are kept. Make room, then go on with --resume'
        )
    return str(error)
