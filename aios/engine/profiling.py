# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Time of a detector by phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

PHASES: Mapping[str, Sequence[tuple[str, str]]] = {
    'backbone': [('backbone', 'forward')],
    'neck': [('neck', 'forward')],
    'encoder': [('', 'forward_encoder')],
    'query selection': [('', 'pre_transformer'), ('', 'pre_decoder')],
    'decoder': [('', 'forward_decoder')],
    'heads': [('bbox_head', 'forward'), ('bbox_head', 'forward_layer')],
    'SMPL-X': [('bbox_head.smplx_layer', 'forward')],
    'post-process': [('', 'predict')],
}
"""Phases of a DETR of MMDetection: sub-module (empty: the detector) and
method. Time in nested phases counts for the innermost."""


def build_detector(config: Config, device: str = 'cpu') -> nn.Module:
    """Build the detector of a config for inference, with random weights.

    Args:
        config: Config of AiOS or of a detector of MMDetection.
        device: Device of the detector.
    """
    from aios.registry import MODELS

    scope = config.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config.model).to(device).eval()


def make_batch(
    images: Tensor, device: str = 'cpu'
) -> tuple[Tensor, list[Any]]:
    """Inputs of a detector, as from its data preprocessor.

    Args:
        images: ``(B, 3, H, W)`` normalized.
        device: Device of the result.

    Returns:
        Images, and for each a data sample with its meta information.
    """
    from mmdet.structures import DetDataSample

    size = tuple(images.shape[-2:])
    meta = dict(
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
    )
    samples = [DetDataSample(metainfo=dict(meta)) for _ in images]
    return images.to(device), samples


def autocast_to(dtype: str, device: str) -> AbstractContextManager:
    """Context of a model with mixed precision.

    Args:
        dtype: Name of the dtype for :class:`torch.autocast`, or
            ``'float32'`` for no autocast.
        device: Device of the model.
    """
    if dtype == 'float32':
        return nullcontext()
    return torch.autocast(torch.device(device).type, getattr(torch, dtype))


def make_clock(name: str, device: str = 'cpu') -> Callable[[], float]:
    """A clock in seconds.

    Args:
        name: ``'cpu'``, CPU time of this process, or ``'wall'``.
        device: Device with which the wall clock synchronizes.
    """
    if name == 'cpu':
        return time.process_time
    if torch.device(device).type == 'cpu':
        return time.perf_counter

    def read() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    return read


class PhaseMeter:
    """Measures the cost of the phases of a detector.

    Args:
        model: The detector.
        read: Reads a monotonic counter, such as a clock.
        phases: See :data:`PHASES`; those the model lacks are left out.
    """

    def __init__(
        self,
        model: nn.Module,
        read: Callable[[], float],
        phases: Mapping[str, Sequence[tuple[str, str]]] = PHASES,
    ) -> None:
        self.read = read
        self._stack: list[str] = []
        self._last = 0.0
        self._spent: dict[str, float] = {}
        self._targets = [
            (phase, _find(model, path), method)
            for phase, methods in phases.items()
            for path, method in methods
            if hasattr(_find(model, path), method)
        ]

    @contextmanager
    def measure(self) -> Iterator[dict[str, float]]:
        """Measure the calls inside the context.

        Yields:
            Cost of each phase, complete after the block.
        """
        self._spent = dict.fromkeys(
            (phase for phase, _, _ in self._targets), 0.0
        )
        for phase, owner, method in self._targets:
            # An instance attribute overrides the method of the class.
            setattr(owner, method, self._wrap(phase, getattr(owner, method)))
        try:
            yield self._spent
        finally:
            for _, owner, method in self._targets:
                delattr(owner, method)

    def _wrap(self, phase: str, function: Callable) -> Callable:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._settle()
            self._stack.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._settle()
                self._stack.pop()

        return wrapped

    def _settle(self) -> None:
        """Add the cost since the last call to the current phase."""
        now = self.read()
        if self._stack:
            self._spent[self._stack[-1]] += now - self._last
        self._last = now


def _find(model: nn.Module, path: str) -> Any:
    """Sub-module, or ``None``."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None
