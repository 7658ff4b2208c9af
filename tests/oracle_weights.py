# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Weights and images that are a hash of their names (NumPy only).

The parity tests compare with tensors that the original implementation
computed on exactly these weights and images. They depend on the name and on
the index of an element, never on a random generator, so that they are the
same on every machine; no trained weight is needed.
"""

from __future__ import annotations

import csv
import re
import zlib
from pathlib import Path

import numpy as np

KEYS_FILE = Path(__file__).parent / 'data/oracle/state_dict_keys.tsv'

# Salts of three class heads, chosen so that neighboring scores in the top-k
# of the oracle's images are as far apart as possible.
_SALTS = {
    'transformer.enc_out_class_embed.weight': 9618,
    'class_embed.1.weight': 1936,
    'class_embed.5.weight': 15923,
}
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF
# The original's decoder lists the very modules of the prediction heads, and
# three lists hold one module several times.
_DECODER_ALIAS = re.compile(
    r'^transformer\.decoder\.((?:bbox|class|pose|pose_hw|bbox_hand|'
    r'bbox_hand_hw|pose_hand|pose_hand_hw|bbox_face|bbox_face_hw|pose_face|'
    r'pose_face_hw)_embed\.)'
)
_SHARED = re.compile(
    r'^(pose_hw_embed|pose_hand_hw_embed|pose_face_hw_embed)\.\d+\.'
)
_IDENTITY_6D = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
# Pattern, gain of the weight (times 1/sqrt(fan_in)), amplitude of the bias.
_HEADS = [
    (r'(^|\.)(bbox_embed|enc_out_bbox_embed)(\.\d+)?\.layers\.2', 0.25, 0.10),
    (r'^bbox_(hand|face)_embed\.\d+\.layers\.2', 0.40, 0.20),
    (r'^bbox_(hand|face)_hw_embed\.\d+\.layers\.2', 0.25, 0.10),
    (r'^pose_((hand|face)_)?embed\.\d+\.layers\.2', 0.40, 0.20),
    (r'^pose_((hand|face)_)?hw_embed\.\d+\.layers\.2', 0.20, 0.10),
    (r'^smpl_(pose|hand_pose|jaw)_embed\.\d+\.layers\.2', 0.35, 0.25),
    (r'^smpl_(beta|expr)_embed\.\d+\.layers\.2', 0.50, 0.20),
    (r'\.layers\.[01]\.', np.sqrt(2.0), 0.05),
    (r'sampling_offsets', 0.5, 2.0),
    (r'linear1', np.sqrt(2.0), 0.1),
    (r'', 1.0, 0.1),
]


def canonical(key: str) -> str:
    """Name of the first of all state-dict keys that hold the same tensor."""
    return _SHARED.sub(r'\1.0.', _DECODER_ALIAS.sub(r'\1', key))


def uniform(name: str, shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """Float64 in [-1, 1), multiples of 2**-23, by name and element."""
    count = int(np.prod(shape)) if shape else 1
    values = (bits(name, count, salt) >> np.uint64(40)).astype(np.float64)
    return (values * 2.0**-23 - 1.0).reshape(shape)


def bits(name: str, count: int, salt: int = 0) -> np.ndarray:
    """Hashes ``(count,)`` of 64 bits, by name and element."""
    seed = (zlib.crc32(name.encode()) + (salt << 32)) & _MASK
    base = _mix(np.uint64((seed * _GOLDEN + _GOLDEN) & _MASK))
    index = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over='ignore'):
        return _mix(base + index * np.uint64(_GOLDEN))


def _mix(z: np.ndarray) -> np.ndarray:
    """Finalizer of the splitmix64 generator."""
    with np.errstate(over='ignore'):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fill(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 value of a key of the original's state dict."""
    key = canonical(key)
    noise = uniform(key, tuple(shape), _SALTS.get(key, 0))
    if '.body.' in key:
        values = _backbone(key, noise)
    else:
        values = _special(key, noise)
        if values is None:
            values = _layer(key, noise)
    return np.ascontiguousarray(values, dtype=np.float32)


def _backbone(key: str, noise: np.ndarray) -> np.ndarray:
    leaf = key.rsplit('.', 1)[-1]
    if leaf == 'running_var':
        return 1.0 + 0.25 * noise
    if noise.ndim == 4:
        return np.sqrt(6.0 / noise[0].size) * noise
    if leaf == 'weight':
        return (0.35 if '.bn3.' in key else 1.0) * (1.0 + 0.1 * noise)
    return 0.05 * noise  # running_mean, bias


def _special(key: str, noise: np.ndarray) -> np.ndarray | None:
    """Values of parameters with a role of their own."""

    def signs(size: int) -> np.ndarray:
        return np.where(uniform('oracle.direction', (size,)) < 0, -1.0, 1.0)

    if key == 'transformer.enc_output.bias':
        return 0.1 * signs(noise.size)
    if key == 'transformer.enc_out_class_embed.weight':
        # Padding (memory 0) gets the lowest score of all, so that top-k
        # never has to choose among its exact ties.
        size = noise.shape[1]
        return (np.sqrt(3.0) * noise * 1.5 - 0.8 * signs(size)) / np.sqrt(size)
    if key == 'transformer.level_embed':
        return 0.5 * noise
    if re.search(r'(keypoint_embed|box_embed|label_enc)\.weight$', key):
        return 0.7 * noise
    if re.search(r'\.(hw|hw_\w+)\.weight$', key):
        return -0.5 + 0.5 * noise
    # camera: scale about 0.06 (17 m away at 5000 px), shift about +-0.03
    if re.search(r'^smpl_cam_embed\.\d+\.layers\.2\.weight$', key):
        gain = np.array([0.005, 0.01, 0.01])[:, None]
        return noise * (np.sqrt(3.0) / np.sqrt(noise.shape[1])) * gain
    if re.search(r'^smpl_cam_embed\.\d+\.layers\.2\.bias$', key):
        return np.array([0.06, 0.0, 0.0]) + 0.005 * noise
    return None


def _layer(key: str, noise: np.ndarray) -> np.ndarray:
    """Values of linear layers, convolutions and norms."""
    gain, amplitude = next(
        (gain, amplitude)
        for pattern, gain, amplitude in _HEADS
        if re.search(pattern, key)
    )
    if key.rsplit('.', 1)[-1] in ('bias', 'in_proj_bias'):
        if re.search(r'norm\d?\.bias$|^input_proj\.\d+\.1\.bias$', key):
            amplitude = 0.05
        return _bias_center(key, noise.size) + amplitude * noise
    if noise.ndim == 1:  # weight of a norm
        return 1.0 + 0.1 * noise
    return gain * np.sqrt(3.0) / np.sqrt(noise[0].size) * noise


def _bias_center(key: str, size: int) -> np.ndarray | float:
    if re.search(r'^smpl_(pose|hand_pose|jaw)_embed\.\d+\.layers\.2', key):
        return np.tile(_IDENTITY_6D, size // 6)
    return -2.0 if 'class_embed' in key else 0.0


def image(name: str, channels: int, height: int, width: int) -> np.ndarray:
    """Float32 image ``(C, H, W)`` in normalized units: waves plus noise."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing='ij')
    waves = uniform(name + '.p', (channels, 6, 4))
    pixels = np.zeros((channels, height, width))
    for channel, rows in zip(pixels, waves, strict=True):
        for fx, fy, phase, amplitude in rows:
            angle = 0.12 * fx * x + 0.12 * fy * y + 3.14159 * phase
            channel += amplitude * np.cos(angle)
    pixels *= 0.8
    pixels += 0.5 * uniform(name + '.n', (channels, height, width))
    return np.ascontiguousarray(np.round(pixels * 4096) / 4096, np.float32)


def official_shapes(edpose: bool = False) -> dict[str, tuple[int, ...]]:
    """Shapes by key of the published AiOS (or ED-Pose) checkpoint."""
    with open(KEYS_FILE, newline='') as stream:
        return {
            row['key']: tuple(int(n) for n in row['shape'].split('x') if n)
            for row in csv.DictReader(stream, delimiter='\t')
            if not edpose or row['edpose'] == 'same'
        }


def official_checkpoint(edpose: bool = False) -> dict[str, np.ndarray]:
    """A state dict with the keys of the published file, aliases included.

    Tensors of the body model are zeros of a token size: nobody reads them.
    """
    values: dict[str, np.ndarray] = {}
    state_dict = {}
    for key, shape in official_shapes(edpose).items():
        if key.startswith('body_model.'):
            state_dict[key] = np.zeros(1, np.float32)
            continue
        name = canonical(key)
        if name not in values:
            values[name] = fill(name, shape)
        state_dict[key] = values[name]
    return state_dict
