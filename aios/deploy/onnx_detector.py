# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""An ONNX file in the place of a detector."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from aios.models.checkpoints import read_stored_config
from aios.models.heads import AiOSHead, DecodingConfig, decode_people

from .export import DESCRIPTION, run_onnx
from .network import unpack_outputs

if TYPE_CHECKING:
    import onnxruntime

__all__ = ['OnnxDetector', 'read_description']

_MAX_SIDE = 1 << 14


def read_description(
    session: onnxruntime.InferenceSession, path: str | os.PathLike
) -> dict[str, Any]:
    """What an exported file says about itself.

    Args:
        session: The open file.
        path: Its name, for errors.

    Returns:
        ``config``: what is needed of the config; ``size``: height and width
        of the pictures; ``aios_version``.

    Raises:
        ValueError: If it is no file of ours, or names a type that is not
            registered.
    """
    text = session.get_modelmeta().custom_metadata_map.get(DESCRIPTION, '')
    try:
        description = json.loads(text)
        height, width = map(int, description['size'])
        description['config']['model']['bbox_head']['type']
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise ValueError(f'a size of {height} x {width}')
    except (
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f'{path}: does not describe itself as a detector of AiOS; write '
            'it with tools/deployment/export_model.py'
        ) from error
    config = read_stored_config(description['config'], path)
    return description | dict(size=(height, width), config=config)


class OnnxDetector(nn.Module):
    """Does what a detector does at test time, with ONNX Runtime.

    Args:
        session: The open file.
        head: Config of the head, with ``stages``; of it the body model is
            used.
        size: ``(height, width)`` of the pictures.
        test_cfg: See :class:`aios.models.heads.DecodingConfig`.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        head: Mapping[str, Any],
        size: tuple[int, int],
        test_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        arguments = {k: v for k, v in head.items() if k != 'type'}
        self.bbox_head = AiOSHead(
            **arguments, test_cfg=None if test_cfg is None else dict(test_cfg)
        )
        self.session = session
        self.size = size
        self.layout = self.bbox_head.stages[-1].layout
        self.output_names = [output.name for output in session.get_outputs()]

    @torch.no_grad()
    def test_step(
        self, data: Mapping[str, Any], decoding: DecodingConfig | None = None
    ) -> list[DetDataSample]:
        """People of a batch; pictures go through the network one by one.

        Args:
            data: ``inputs``: pictures ``(3, h, w)`` uint8, BGR, not larger
                than :attr:`size`; ``data_samples``.
            decoding: What is returned; ``None`` for ``test_cfg``.

        Returns:
            The samples with ``pred_instances``.

        Raises:
            ValueError: If a picture is too large.
        """
        samples = list(data['data_samples'])
        for image, sample in zip(data['inputs'], samples, strict=True):
            outputs = self.forward(image)
            (sample.pred_instances,) = decode_people(
                unpack_outputs(outputs, self.layout),
                [sample.metainfo],
                self.bbox_head.body_model,
                decoding or DecodingConfig.read(self.bbox_head.test_cfg),
            )
        return samples

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Outputs of the network by name.

        Args:
            image: ``(3, h, w)``, see :meth:`test_step`.
        """
        height, width = image.shape[-2:]
        if height > self.size[0] or width > self.size[1]:
            raise ValueError(
                f'the picture has {height} x {width} pixels, this network '
                f'takes up to {self.size[0]} x {self.size[1]}'
            )
        batch = torch.zeros(1, 3, *self.size)
        batch[0, :, :height, :width] = image
        sizes = torch.tensor([[height, width]])
        values: Sequence[Tensor] = run_onnx(self.session, batch, sizes)
        return dict(zip(self.output_names, values, strict=True))
