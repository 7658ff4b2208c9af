# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Processes that do not outlive the one that started them."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ['end_with_parent']

_SECONDS = 1.0


def end_with_parent() -> None:
    """End this process, as by SIGTERM, soon after its parent has died.

    For what torchrun starts: when it is killed, its processes would go on
    and hold their folder and their GPUs.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name='watch parent', daemon=True).start()
