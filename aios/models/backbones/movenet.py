# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MoveNet MultiPose as a backbone, trained on photographs of persons.

Legend: ``B`` images, ``H`` and ``W`` height and width of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, ModuleDict, ModuleList
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from aios.registry import MODELS

# MobileNetV2 at width 1.75: channels, number of blocks, stride of the first.
STAGES = (
    (24, 1, 1),
    (40, 2, 2),
    (48, 3, 2),
    (96, 4, 2),
    (144, 3, 1),
    (240, 3, 2),
    (480, 1, 1),
)
NUM_BLOCKS = sum(repeats for _, repeats, _ in STAGES)
# The last blocks of strides 4, 8 and 16, the inputs of MoveNet's pyramid.
TAPS = (2, 5, 9)
# Channels of MoveNet's heads for heat maps.
HEADS = dict(kpt_heatmap=17, center=1)
# Channels of the heads for offsets, y before x, in units of stride 4.
OFFSET_HEADS = dict(kpt_offset=34, kpt_regress=34)
MAX_STRIDE = 32
BLACK = -1.0


@MODELS.register_module()
class MoveNet(BaseModule):
    """Three maps of MoveNet MultiPose, each channel standardized.

    MobileNetV2 of width 1.75 with fused batch norms, MoveNet's feature
    pyramid, and its heads for heat maps of keypoints and of persons' centers;
    see `Next-Generation Pose Detection with MoveNet and
    TensorFlow.js <https://blog.tensorflow.org/2021/05/next-generation-pose-
    detection-with-movenet-and-tensorflowjs.html>`_.
    ``tools/model_converters/movenet_to_mm.py`` converts the weights that
    Google published under Apache-2.0 to a checkpoint.

    ======  ========  =================================================
    stride  channels  content
    ======  ========  =================================================
    8       90        block 5 (48), pyramid (24), heat maps (17 + 1)
    16      272       blocks 9 (96) and 12 (144), pyramid (32)
    32      304       block 15 (240), pyramid (64)
    ======  ========  =================================================

    An optional fourth map has the outputs of MoveNet's heads; it bypasses the
    neck and is the input of :class:`~aios.models.layers.PosePrior`.

    No layer behaves differently in training.

    Args:
        first_trained: Index of the first inverted-residual block, 0 to 16,
            whose parameters are trained: 0 trains all parameters, with the
            stem, and 17 only the layers after the blocks.  By default all
            are frozen.
        pose_maps: Also return the fourth map; its offsets are not trained.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`; such
            as ``dict(type='Pretrained', checkpoint='movenet.safetensors')``.

    Attributes:
        strides: Strides of the three maps.
        out_channels: Channels of the three maps.

    Raises:
        ValueError: If ``first_trained`` is out of range.
    """

    strides = (8, 16, 32)
    out_channels = (90, 272, 304)

    def __init__(
        self,
        first_trained: int | None = None,
        pose_maps: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.stem = SameConv2d(3, 48, stride=2)
        self.blocks = _make_blocks(48)
        self.last = Conv2dReLU6(480, 1280, 1)
        # Laterals of strides 4 to 32, and merges between these.
        self.laterals = ModuleList(
            nn.Conv2d(*channels, 1)
            for channels in ((40, 24), (48, 32), (96, 64), (1280, 64))
        )
        self.merges = ModuleList(
            Separable(*channels) for channels in ((24, 24), (32, 24), (64, 32))
        )
        self.has_pose_maps = pose_maps
        heads = HEADS | (OFFSET_HEADS if pose_maps else {})
        self.heads = ModuleDict(
            {name: HeatMapHead(channels) for name, channels in heads.items()}
        )
        for stride, num_channels in zip(
            self.strides, self.out_channels, strict=True
        ):
            self.register_buffer(f'mean_{stride}', torch.zeros(num_channels))
            self.register_buffer(f'std_{stride}', torch.ones(num_channels))
        # For 1x1 and depthwise kernels this only selects the memory format
        # of oneDNN's outputs, see extract().
        self.blocks.to(memory_format=torch.channels_last)
        self._freeze(first_trained)

    def _freeze(self, first_trained: int | None) -> None:
        if first_trained is None:
            self.requires_grad_(False)
        elif not 0 <= first_trained <= NUM_BLOCKS:
            raise ValueError(
                f'MoveNet: first_trained must be None or 0 to {NUM_BLOCKS}, '
                f'got {first_trained}'
            )
        elif first_trained > 0:
            self.stem.requires_grad_(False)
            self.blocks[:first_trained].requires_grad_(False)
        # PosePrior reads offsets without gradients, which DDP would wait for.
        for name in OFFSET_HEADS.keys() & self.heads.keys():
            self.heads[name].requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            x: ``(B, 3, H, W)`` RGB images of any size, 0..255 mapped to
                -1..1, as MMDetection's preprocessor does with BGR images and
                ``mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True``.
                ``pad_value=-1`` pads with black, like the published clients
                of MoveNet.

        Returns:
            Maps of strides 8, 16 and 32, sizes rounded up, with 90, 272 and
            304 channels.  Internally, images are padded with black to
            multiples of 32.  With ``pose_maps`` a fourth map, of stride 8 and
            with 86 channels: :data:`~aios.models.layers.POSE_CHANNELS`.
        """
        size = x.shape[-2:]
        x = _padded(x, [_num_cells(n, MAX_STRIDE) * MAX_STRIDE for n in size])
        features = self.raw_maps(x)
        strides = (*self.strides, self.strides[0])
        maps = [
            self._standardize(feature_map, stride)
            for feature_map, stride in zip(
                features[:3], self.strides, strict=True
            )
        ] + list(features[3:])
        return tuple(
            _padded(feature_map, [_num_cells(n, stride) for n in size])
            for feature_map, stride in zip(maps, strides, strict=False)
        )

    def _standardize(self, x: Tensor, stride: int) -> Tensor:
        mean = self.get_buffer(f'mean_{stride}')[:, None, None]
        std = self.get_buffer(f'std_{stride}')[:, None, None]
        return (x - mean) / std

    def raw_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps before they are standardized.

        Args:
            x: As for :meth:`forward`, sides multiples of 32.

        Returns:
            As :meth:`forward`; heat maps are probabilities.
        """
        blocks, levels = self.extract(x)
        heat = torch.cat([self.heads[name](levels[0]) for name in HEADS], 1)
        # The sigmoid is monotonic and cheaper after pooling.
        peaks = F.max_pool2d(heat, 2)
        heat_maps = peaks.sigmoid()
        maps = (
            torch.cat([blocks[5], levels[1], heat_maps], 1),
            torch.cat([blocks[9], blocks[12], levels[2]], 1),
            torch.cat([blocks[15], levels[3]], 1),
        )
        if not self.has_pose_maps:
            return maps
        is_peak = [cell == peaks for cell in _cells_of(heat)]
        return *maps, self._pose_map(levels[0], heat_maps, is_peak)

    def _pose_map(
        self, level: Tensor, heat_maps: Tensor, is_peak: Sequence[Tensor]
    ) -> Tensor:
        """Heat maps, and offsets at the peaks of 2x2 cells.

        Args:
            level: ``(B, 24, 2 * h, 2 * w)``.
            heat_maps: ``(B, 18, h, w)`` probabilities.
            is_peak: For each of the four cells ``(B, 18, h, w)`` bool,
                whether it has the highest heat.

        Returns:
            ``(B, 86, h, w)``.
        """
        joints = [mask[:, :17] for mask in is_peak]
        center = [mask[:, 17:] for mask in is_peak]
        offsets = [
            _read_offsets(self.heads[name](level), masks)
            for name, masks in (
                ('kpt_offset', joints),
                ('kpt_regress', center),
            )
        ]
        return torch.cat([heat_maps, *offsets], 1)

    def extract(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Compute the inputs of the heads.

        Args:
            x: As for :meth:`raw_maps`.

        Returns:
            Outputs of the 17 blocks, and the levels of the pyramid, strides
            4 to 32.
        """
        if x.device.type == 'cpu':  # channels last is faster there
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem.relu6(x)
        blocks = []
        for block in self.blocks:
            x = block(x)
            blocks.append(x)
        level = self.laterals[3](self.last.relu6(x))
        levels = [level]
        for i in (2, 1, 0):
            level = F.interpolate(level, scale_factor=2, mode='bilinear')
            level = self.merges[i](level + self.laterals[i](blocks[TAPS[i]]))
            levels.insert(0, level)
        return blocks, levels


class Conv2dReLU6(nn.Conv2d):
    """A convolution with an optional, fused ReLU6."""

    def relu6(self, x: Tensor) -> Tensor:
        """Convolve and clamp ``(B, C, H, W)`` to 0..6.

        At inference on a CPU oneDNN fuses both: a separate ReLU6 takes nearly
        as long as a 1x1 convolution.
        """
        if not _can_fuse(x):
            return F.relu6(self(x), inplace=True)
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            *(x, self.kernel(), self.bias),
            *(self.padding, self.stride, self.dilation, self.groups),
            *('hardtanh', [0.0, 6.0], ''),
        )
        return fused

    def kernel(self) -> Tensor:
        """Kernel of the convolution, ``(out, in, h, w)``."""
        return self.weight

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(B, in_channels, H, W)``."""
        return self._conv_forward(input, self.kernel(), self.bias)


def _can_fuse(x: Tensor) -> bool:
    """Whether oneDNN's fused operator can be called."""
    return (
        x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled('cpu')
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


class SameConv2d(Conv2dReLU6):
    """A 3x3 convolution with TensorFlow's ``SAME`` padding of even sizes.

    That is one row or column of zeros on each side, but only at the end with
    stride 2.  There the kernel gets leading zeros instead (4x4), because
    padding the image takes six times as long as the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, 3, stride, padding=1, **kwargs
        )

    def kernel(self) -> Tensor:
        """``(out, in, 3, 3)``, at stride 2 ``(out, in, 4, 4)``."""
        if self.stride[0] == 1:
            return self.weight
        return F.pad(self.weight, (1, 0, 1, 0))

    def forward(self, input: Tensor) -> Tensor:
        """Convolve ``(B, in_channels, H, W)``."""
        if self.stride[0] == 1 or not torch.compiler.is_compiling():
            return super().forward(input)
        # Compilers and runtimes of exported files fuse the padding.
        return F.conv2d(
            F.pad(input, (0, 1, 0, 1)),
            *(self.weight, self.bias, self.stride, 0),
            *(self.dilation, self.groups),
        )


class InvertedResidual(BaseModule):
    """MobileNetV2's block: expand, filter each channel, project."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expand: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expand
        self.expand = (
            Conv2dReLU6(in_channels, hidden, 1) if expand > 1 else None
        )
        self.depthwise = SameConv2d(hidden, hidden, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, out_channels, 1)
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)``; the stride divides the size."""
        out = x
        if self.expand is not None:
            out = self.expand.relu6(x)
        out = self.project(self.depthwise.relu6(out))
        return x + out if self.is_residual else out


class Separable(nn.Sequential):
    """A depthwise and a 1x1 convolution, with a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            SameConv2d(
                in_channels, in_channels, groups=in_channels, bias=False
            ),
            nn.Conv2d(in_channels, out_channels, 1),
            nn.ReLU(),
        )


class HeatMapHead(nn.Sequential):
    """One of MoveNet's heads on the finest level of its pyramid."""

    def __init__(self, out_channels: int) -> None:
        super().__init__(Separable(24, 96), nn.Conv2d(96, out_channels, 1))


# Row and column of each of 2x2 cells.
_CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))


def _cells_of(x: Tensor) -> tuple[Tensor, ...]:
    """Four ``(B, C, h, w)`` of ``(B, C, 2 * h, 2 * w)``."""
    # Strided slices are slow in OpenVINO.
    return F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4)).unbind(2)


def _read_offsets(offsets: Tensor, is_peak: Sequence[Tensor]) -> Tensor:
    """Offsets at the peak of each 2x2 cells, from the corner of the four.

    Pooling indices and a gather would be slow in some runtimes of exported
    files.

    Args:
        offsets: ``(B, 2 * n, 2 * h, 2 * w)``, y before x, in cells.
        is_peak: For each of the four cells ``(B, n, h, w)`` or
            ``(B, 1, h, w)`` bool; the first peak is used.

    Returns:
        ``(B, 2 * n, h, w)``, x before y, in units of the four cells.
    """
    *cells, chosen = [
        cell.unflatten(1, (-1, 2)) + cell.new_tensor(corner)[:, None, None]
        for cell, corner in zip(_cells_of(offsets), _CELLS, strict=True)
    ]
    for cell, mask in zip(cells[::-1], is_peak[2::-1], strict=True):
        chosen = torch.where(mask[:, :, None], cell, chosen)
    return (chosen / 2)[:, :, [1, 0]].flatten(1, 2)


def _make_blocks(in_channels: int) -> ModuleList:
    blocks = ModuleList()
    for out_channels, repeats, first_stride in STAGES:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            expand = 6 if blocks else 1
            blocks.append(
                InvertedResidual(in_channels, out_channels, stride, expand)
            )
            in_channels = out_channels
    return blocks


def _num_cells(length: int, stride: int) -> int:
    # Unlike -(-length // stride), exporters know that this is positive.
    return (length - 1) // stride + 1


def _padded(x: Tensor, size: Sequence[int]) -> Tensor:
    """Pad with black, or crop, at the bottom and on the right.

    Args:
        x: ``(..., H, W)``.
        size: New height and width.
    """
    bottom, right = (
        new - old for new, old in zip(size, x.shape[-2:], strict=True)
    )
    # Exporters do not know the sizes of slices.
    return F.pad(x, (0, right, 0, bottom), value=BLACK)
