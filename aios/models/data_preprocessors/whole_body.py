# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MMDetection's preprocessor with checks of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.data_preprocessors import (
    BatchResize,
    BatchSyncRandomResize,
    DetDataPreprocessor,
)
from mmengine.structures import BaseDataElement
from torch import Tensor

from aios.registry import MODELS

# Devices with asynchronous copies from pinned memory.
FETCHING = {'cuda'}


@MODELS.register_module()
class WholeBodyDataPreprocessor(DetDataPreprocessor):
    """Normalize, pad and batch images; reject inputs that are not images.

    MMDetection's preprocessor accepts 16-bit images as if they had 8 bits,
    and other numbers of channels fail in the first convolution.  It also
    synchronizes at each copy to the GPU; here copies are asynchronous.

    Args:
        **kwargs: See
            :class:`mmdet.models.data_preprocessors.DetDataPreprocessor`.
            ``batch_augments`` may pad but not resize.

    Raises:
        ValueError: If one of ``batch_augments`` resizes images.

    Attributes:
        reverses_channels: Whether BGR becomes RGB, or RGB becomes BGR.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # MMEngine's conversion copies an index to the GPU and synchronizes.
        self.reverses_channels: bool = self._channel_conversion  # type: ignore[has-type]
        self._channel_conversion = False
        for augment in self.batch_augments or ():
            if isinstance(augment, BatchResize | BatchSyncRandomResize):
                raise ValueError(
                    f'batch_augments: {type(augment).__name__} resizes images '
                    'and boxes but not the other labels of persons; use '
                    'WholeBodyRandomResize in the pipeline'
                )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Create a batch.

        Args:
            data: ``inputs``, images ``(3, H, W)`` of 0..255, uint8 or
                floating point, in a list or as one tensor; and
                ``data_samples``.
            training: Whether this is training.

        Raises:
            ValueError: If an input is not such an image.
        """
        samples = data.get('data_samples')
        for index, image in enumerate(data['inputs']):
            _check(image, _name(index, samples))
        inputs = self.cast_data(data['inputs'])
        if self.reverses_channels:
            inputs = _reverse_channels(inputs)
        return super().forward(data | dict(inputs=inputs), training)

    def cast_data(self, data: Any) -> Any:
        """Copy tensors to the device, asynchronously where possible."""
        if self.device.type in FETCHING and isinstance(
            data, Tensor | BaseDataElement
        ):
            return _pin(data).to(self.device, non_blocking=True)
        return super().cast_data(data)


def _pin(data: Any) -> Any:
    """Copy tensors to pinned memory."""
    if isinstance(data, Tensor):
        return data.pin_memory() if data.device.type == 'cpu' else data
    if isinstance(data, BaseDataElement):
        return data.new(**{name: _pin(value) for name, value in data.items()})
    return data


def _reverse_channels(
    inputs: Tensor | Sequence[Tensor],
) -> Tensor | list[Tensor]:
    if isinstance(inputs, Tensor):
        return inputs.flip(-3)
    return [image.flip(-3) for image in inputs]


def _name(index: int, samples: Sequence[Any] | None) -> str:
    path = None
    if samples is not None and index < len(samples):
        path = samples[index].metainfo.get('img_path')
    return f'inputs[{index}]' + (f' ({path})' if path else '')


def _check(image: Tensor, name: str) -> None:
    if image.ndim != 3 or len(image) != 3 or 0 in image.shape:
        raise ValueError(
            f'{name}: an image must have shape (3, H, W), got '
            f'{tuple(image.shape)}; convert gray images and drop '
            'transparency first'
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(
            f'{name}: an image must be uint8 or floating point with values '
            f'in 0..255, got {image.dtype}'
        )
