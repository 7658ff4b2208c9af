# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A detector that several threads of a service use."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_sessions import DESCRIPTION, RandomSession
from threadpoolctl import ThreadpoolController

from aios.body_models import NumpySMPLXLayer
from aios.runtime import OnnxDetector


def _blas_threads() -> list[int]:
    found = ThreadpoolController().select(user_api='blas').info()
    return [library['num_threads'] for library in found]


def test_threads_of_numpy_come_back(
    tmp_path: Path, free_body_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the calls of two threads overlap."""
    second, first_done = threading.Event(), threading.Event()

    class Body(NumpySMPLXLayer):
        """The first call waits for the second, which ends after it."""

        calls = 0

        def __call__(self, **arguments: Any) -> Any:
            Body.calls += 1
            if Body.calls == 1:
                second.wait(0.5)
            else:
                second.set()
                first_done.wait(30)
            return super().__call__(**arguments)

    monkeypatch.setattr('aios.runtime.detector.NumpySMPLXLayer', Body)
    session = RandomSession(
        DESCRIPTION | dict(body_model=dict(model_path=str(free_body_dir)))
    )
    monkeypatch.setattr(
        'aios.runtime.detector.make_session', lambda *_: session
    )
    (tmp_path / 'a.onnx').touch()
    detector = OnnxDetector(tmp_path / 'a.onnx')

    image = detector.prepare(np.zeros((60, 80, 3), np.uint8))
    (outputs,) = detector.run([image])

    def decode(done: threading.Event) -> None:
        detector.decode(outputs, image, 'a', (80, 60))
        done.set()

    before = _blas_threads()
    threads = [
        threading.Thread(target=decode, args=(event,))
        for event in (first_done, threading.Event())
    ]
    threads[0].start()
    while not Body.calls:
        time.sleep(0.01)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert _blas_threads() == before
