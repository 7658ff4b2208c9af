# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Export ``aios_s`` to an ONNX file with an 8-bit backbone.

It is calibrated on synthetic images, and results are compared on others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aios.deploy import ExportError, quantize_convolutions
from aios.runtime import OnnxDetector
from aios.structures import box_iou
from aios.synthetic import (
    BodyBank,
    SceneOptions,
    finish_image,
    render_scene,
    sample_photographic_scene,
)
from aios.utils.safe_io import atomic_write

from .onnx_export import export_model
from .shipped import shipped_onnx

# The inverted-residual blocks of MoveNet.  Its stem, pyramid and heads stay
# float32: quantized, they would move keypoints by whole cells.
_LAYERS = r'\.backbone\.blocks\.'
_SIZE = (256, 320)  # height and width of the synthetic images
_NUM_CALIBRATION = 16
_NUM_CHECKED = 8
_MIN_SCORE = 0.3
_MIN_IOU = 0.5
_MAX_DISTANCE = 10.0  # pixels
_MIN_FOUND = 0.75  # of the persons


@dataclass(frozen=True)
class Int8Loss:
    """Difference of results between 8-bit integers and float32.

    Args:
        persons: Number of persons found with float32.
        found: Number of them found with integers.
        pixels: Median distance of their projected joints.
        millimeters: Median distance of their joints relative to the pelvis.
    """

    persons: int
    found: int
    pixels: float
    millimeters: float

    def __str__(self) -> str:
        return (
            f'{self.found} of {self.persons} persons in synthetic images are '
            f'detected as with float32, median joint difference '
            f'{self.pixels:.1f} pixels and {self.millimeters:.0f} mm'
        )


def export_int8(
    path: str | os.PathLike,
    size: tuple[int, int] | None = None,
    *,
    overwrite: bool = False,
) -> Int8Loss:
    """Export ``aios_s`` to an ONNX file with 8-bit convolutions.

    Args:
        path: The file.
        size: See :func:`~aios.apis.onnx_export.export_model`.
        overwrite: Replace an existing file.

    Raises:
        ExportError: If a package is missing, or results differ too much;
            nothing is written then.
        FileExistsError: If the file exists.
    """
    with (
        atomic_write(path, overwrite) as stream,
        tempfile.TemporaryDirectory() as folder,
    ):
        source = Path(folder) / 'float32.onnx'
        if size is None:
            source = shipped_onnx()
        else:
            export_model(source, size=size)
        images = _drawn_images(*(size or _SIZE))
        content = quantize_convolutions(
            source.read_bytes(),
            _LAYERS,
            (_inputs(next(images)) for _ in range(_NUM_CALIBRATION)),
        )
        target = Path(folder) / 'int8.onnx'
        target.write_bytes(content)
        loss = _measure(
            OnnxDetector(source),
            OnnxDetector(target),
            [next(images) for _ in range(_NUM_CHECKED)],
        )
        enough = loss.found >= _MIN_FOUND * loss.persons
        if not (enough and loss.pixels <= _MAX_DISTANCE):
            raise ExportError(
                f'quantization changes the results too much: {loss}'
            )
        stream.write(content)
    return loss


def _drawn_images(height: int, width: int) -> Iterator[np.ndarray]:
    """Deterministic images, ``(H, W, 3)`` uint8 BGR."""
    bank = BodyBank()
    options = SceneOptions(width=width, height=height)
    for seed in range(_NUM_CALIBRATION + _NUM_CHECKED):
        rng = np.random.default_rng(seed)
        scene = sample_photographic_scene(rng, bank, options)
        image = render_scene(rng, scene, bank).image
        yield finish_image(rng, image, rng)[..., ::-1]


def _inputs(image: np.ndarray) -> Mapping[str, np.ndarray]:
    """Inputs of the network."""
    pixels = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    return dict(images=pixels[None], sizes=np.array([image.shape[:2]]))


def _measure(
    exact: OnnxDetector, other: OnnxDetector, images: list[np.ndarray]
) -> Int8Loss:
    """Compare the persons of some images."""
    persons = 0
    pixels: list[np.ndarray] = []
    meters: list[np.ndarray] = []
    for image in images:
        one, two = (
            result.select(result.instances['scores'] >= _MIN_SCORE).instances
            for result in (exact(image), other(image))
        )
        persons += len(one['scores'])
        if not len(two['scores']):
            continue
        overlap = box_iou(one['bboxes'][:, None], two['bboxes'])
        same = overlap.max(1) >= _MIN_IOU
        nearest = overlap.argmax(1)[same]
        for name, distances in (('joints2d', pixels), ('joints3d', meters)):
            here, there = one[name][same], two[name][nearest]
            if name == 'joints3d':
                here, there = here - here[:, :1], there - there[:, :1]
            distances.append(np.linalg.norm(there - here, axis=-1))
    found = sum(map(len, pixels))
    if not found:
        raise ExportError(
            f'the quantized model detects none of {persons} persons'
        )
    pixel, meter = (
        float(np.median(np.concatenate([x.ravel() for x in distances])))
        for distances in (pixels, meters)
    )
    return Int8Loss(persons, found, pixel, 1000 * meter)
