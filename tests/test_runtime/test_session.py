# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Devices of ONNX Runtime, without a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime
import pytest

from aios.runtime import OnnxError, make_session


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """What ONNX Runtime is asked for; the second GPU does not work."""
    seen: list[tuple[str, dict]] = []

    def open_session(*_: object, providers: list) -> SimpleNamespace:
        seen.extend(providers)
        (name, choice), *_ = providers
        works = choice.get('device_id') != '1'
        used = [name] if works else ['CPUExecutionProvider']
        return SimpleNamespace(get_providers=lambda: used)

    monkeypatch.setattr(onnxruntime, 'InferenceSession', open_session)
    monkeypatch.setattr(
        onnxruntime,
        'get_available_providers',
        lambda: ['CUDAExecutionProvider', 'CPUExecutionProvider'],
    )
    return seen


def test_number_of_the_gpu(asked: list[tuple[str, dict]]) -> None:
    for device in ('cpu', 'cuda', 'cuda:2'):
        make_session(b'', device)
    assert asked == [
        ('CPUExecutionProvider', {}),
        ('CUDAExecutionProvider', {}),
        ('CUDAExecutionProvider', {'device_id': '2'}),
    ]


def test_gpu_that_does_not_work(asked: list[tuple[str, dict]]) -> None:
    """ONNX Runtime would silently use the CPU."""
    with pytest.raises(OnnxError, match='cannot use the device cuda:1'):
        make_session(b'', 'cuda:1')
