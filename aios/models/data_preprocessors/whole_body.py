# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MMDetection's preprocessor, which first looks at what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import Tensor

from aios.registry import MODELS

__all__ = ['WholeBodyDataPreprocessor']


@MODELS.register_module()
class WholeBodyDataPreprocessor(DetDataPreprocessor):
    """Normalise, pad and batch pictures; refuse what is none.

    MMDetection's preprocessor would batch 16-bit pictures as if they had 8
    bits, and leaves other numbers of channels to the first convolution.

    Args:
        **kwargs: See
            :class:`mmdet.models.data_preprocessors.DetDataPreprocessor`.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make a batch.

        Args:
            data: ``inputs``, pictures ``(3, H, W)`` of 0..255, uint8 or
                floating point, in a list or as one tensor; and
                ``data_samples``.
            training: Whether this is training.

        Raises:
            ValueError: If an input is not such a picture; the message names
                it.
        """
        samples = data.get('data_samples')
        for index, image in enumerate(data['inputs']):
            _check(image, _name(index, samples))
        return super().forward(data, training)


def _name(index: int, samples: Sequence[Any] | None) -> str:
    path = None
    if samples is not None and index < len(samples):
        path = samples[index].metainfo.get('img_path')
    return f'inputs[{index}]' + (f' ({path})' if path else '')


def _check(image: Tensor, name: str) -> None:
    if image.ndim != 3 or len(image) != 3 or 0 in image.shape:
        raise ValueError(
            f'{name}: a picture must have shape (3, H, W), got '
            f'{tuple(image.shape)}; convert grey pictures and drop '
            'transparency first'
        )
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(
            f'{name}: a picture must be uint8 or floating point with values '
            f'in 0..255, got {image.dtype}'
        )
