# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures of all sizes in a few shapes, for compilers and CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


def pad_to_bucket(
    images: Sequence[Tensor], step: int = 128
) -> tuple[Tensor, Tensor]:
    """Batch pictures, with height and width rounded up.

    Args:
        images: ``B`` pictures ``(3, h, w)`` of one dtype on one device.
        step: Sides of the batch are multiples of it.

    Returns:
        The batch ``(B, 3, H, W)``, zero beside the pictures, and their sizes
        ``(B, 2)`` int64 height and width: the arguments of
        :class:`aios.deploy.DeployableNetwork`.

    Raises:
        ValueError: If there is no picture, or an argument makes no sense.
    """
    if step < 1:
        raise ValueError(f'step must be positive, got {step}')
    if not images:
        raise ValueError('pad_to_bucket: no pictures')
    for index, image in enumerate(images):
        if image.ndim != 3 or 0 in image.shape:
            raise ValueError(
                f'images[{index}] must be (3, h, w), got {tuple(image.shape)}'
            )
    sizes = [tuple(image.shape[1:]) for image in images]
    height, width = (
        -(-max(x) // step) * step for x in zip(*sizes, strict=True)
    )
    batch = images[0].new_zeros(len(images), len(images[0]), height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch, torch.tensor(sizes, device=batch.device)


class BucketedNetwork:
    """A compiled network that sees few different shapes.

    Padding is masked, so results are those of the detector on a batch of the
    padded size. They are not exactly those on the picture alone: as in every
    batch of pictures of different sizes, the backbone sees the padding beside
    a picture, and levels whose sides are rounded up are a little larger.

    Args:
        network: What is compiled, see
            :class:`aios.deploy.DeployableNetwork`.
        step: See :func:`pad_to_bucket`: a large one means few compilations
            and much padding.
        **options: Arguments of :func:`torch.compile`; with
            ``mode='reduce-overhead'`` GPUs replay a CUDA graph per shape.
    """

    def __init__(
        self, network: Network, step: int = 128, **options: Any
    ) -> None:
        self.step = step
        self.network: Network = torch.compile(
            network, fullgraph=True, dynamic=False, **options
        )

    def __call__(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Outputs of the network for pictures ``(3, h, w)``."""
        with torch.inference_mode():
            return self.network(*pad_to_bucket(images, self.step))
