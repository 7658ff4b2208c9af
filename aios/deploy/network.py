# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A detector as a function of tensors, for exporters and compilers.

Legend: ``B`` images, ``P`` persons.
"""

from __future__ import annotations

import copy
from dataclasses import fields

import torch
from torch import Tensor, nn

from aios.models.detectors import AiOS
from aios.models.heads.outputs import LayerOutputs, SMPLXParams
from aios.models.layers import DeformableAttention
from aios.structures import TokenLayout

_KEYPOINT_SCORES = 'keypoint_scores'
_LOGITS = 'logits'
_SMPLX = tuple(field.name for field in fields(SMPLXParams))

_REVERSED = [2, 1, 0]  # channels


class DeployableNetwork(nn.Module):
    """The network of a detector, from pixels to its last layer's outputs.

    Includes the normalization and masking of images, so that results equal
    those of the detector for the same images in a batch of this size.
    Deformable attention consists of operators that all exporters support.

    Args:
        model: The detector; it is copied.

    Attributes:
        output_names: Names of the outputs, in order.
        layout: Order of a person's tokens in the last layer.
    """

    def __init__(self, model: AiOS) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        # Remove the body model and parts for training.
        self.model.bbox_head.smplx_layer = None
        self.model.bbox_head.criterion = None
        self.model.dn_query_generator = None
        self.requires_grad_(False)
        for module in self.model.modules():
            if isinstance(module, DeformableAttention):
                module.kernel = 'grid_sample'
        self.layout: TokenLayout = self.model.decoder.stages[-1].layout
        # Independent of the image.
        self.output_names = (
            _LOGITS,
            *(part.name for part in self.layout.parts if part.is_box),
            *(part.name for part in self.layout.parts if not part.is_box),
            *_SMPLX,
        )
        if self.model.decoder.pose_prior is not None:
            self.output_names += (_KEYPOINT_SCORES,)

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """Predict the outputs.

        Args:
            images: ``(B, 3, H, W)`` of 0..255 in BGR, as read by OpenCV; each
                image in the upper left corner, with any values elsewhere.
            sizes: ``(B, 2)`` int64 height and width of the images.

        Returns:
            The outputs of :attr:`output_names`, see
            :class:`aios.models.heads.outputs.LayerOutputs`: boxes
            ``(B, P, 4)`` cxcywh and points ``(B, P, K, 2)`` are fractions of
            the image, rotations are matrices.
        """
        padding = _padding_of(sizes, images)
        features = self.model.extract_feat(self._normalize(images, padding))
        encoder_inputs, decoder_inputs = self.model.flatten_features(
            features, padding.float()
        )
        memory = self.model.forward_encoder(**encoder_inputs)
        queries, _ = self.model.pre_decoder(**memory)
        decoded = self.model.forward_decoder(**decoder_inputs, **queries)
        states = decoded['states']
        outputs = self.model.bbox_head.forward_layer(
            len(states) - 1, states[-1], sizes.flip(1)
        )
        packed = pack_outputs(outputs)
        return tuple(packed[name] for name in self.output_names)

    def _normalize(self, images: Tensor, padding: Tensor) -> Tensor:
        """Normalize like the data preprocessor."""
        preprocessor = self.model.data_preprocessor
        reverse = preprocessor._channel_conversion
        # MMDetection's preprocessor or ours.
        if getattr(preprocessor, 'reverses_channels', reverse):
            # flip() is exported as a slice with step -1, slow in all runtimes.
            images = images[:, _REVERSED]
        if preprocessor._enable_normalize:
            images = (images - preprocessor.mean) / preprocessor.std
        return images.masked_fill(padding, preprocessor.pad_value)


def _padding_of(sizes: Tensor, images: Tensor) -> Tensor:
    """True on padding, ``(B, 1, H, W)``."""
    height, width = images.shape[-2:]
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    below = row >= sizes[:, :1]
    right = column >= sizes[:, 1:]
    return (below[:, :, None] | right[:, None])[:, None]


def pack_outputs(outputs: LayerOutputs) -> dict[str, Tensor]:
    """Predictions of a layer by name.

    Args:
        outputs: Outputs of a layer with SMPL-X parameters.
    """
    packed = {
        _LOGITS: outputs.logits,
        **outputs.boxes,
        **outputs.points,
        **{name: getattr(outputs.smplx, name) for name in _SMPLX},
    }
    if outputs.keypoint_scores is not None:
        packed[_KEYPOINT_SCORES] = outputs.keypoint_scores
    return packed
