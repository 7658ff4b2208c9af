# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""An exported detector with ONNX Runtime or OpenVINO, and NumPy.

Legend: ``B`` images, ``P`` candidates.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from aios.body_models import NumpySMPLXLayer
from aios.results import FrameResult
from aios.results.schema import DEFAULT_BODY_MODEL
from aios.structures.decoding import DecodingConfig
from aios.structures.tiles import enlarged_resize, tiled_test_cfg
from aios.utils.resizing import fit_size, keep_ratio_size, resize_image

from .decoding import decode_persons
from .image_pyramid import Outputs, join_levels, resize_images, run_tiles
from .openvino_session import OpenVINOSession
from .session import OnnxError, make_session, read_description

RUNTIMES = ('onnx', 'openvino')
"""Runtimes of exported networks."""

# Limits of BLAS are those of the process: of two that overlap the one that
# ends last would restore the limit of the other, for good.
_LIMITING = threading.Lock()


class OnnxDetector:
    """Detects the persons in images.

    Examples:
        >>> detector = OnnxDetector('aios_s.onnx')
        >>> persons = detector(cv2.imread('photo.jpg'))
        >>> persons.instances['vertices']  # (n, 10475, 3) meters

    Args:
        path: A file of ``python -m aios export``.
        device: Device of ONNX Runtime, ``'cpu'``, ``'cuda'`` or ``'cuda:1'``.
        num_threads: Threads on the CPU; default: number of cores.
        body_model: SMPL-X files, or ``'free'``; default: as in training.
        runtime: ``'onnx'`` for ONNX Runtime, or ``'openvino'``.
        dtype: Type of the backbone, ``'float32'``, or with OpenVINO
            ``'bfloat16'``.
        tiles: See :class:`aios.apis.AiOSInferencer`; needs a file for any
            image size.

    Attributes:
        description: See :func:`aios.runtime.read_description`.
        test_cfg: Default options of the decoding.

    Raises:
        OnnxError: If the runtime is missing, or does not support the device
            or dtype.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        device: str = 'cpu',
        num_threads: int | None = None,
        body_model: str | os.PathLike | None = None,
        *,
        runtime: str = 'onnx',
        dtype: str = 'float32',
        tiles: int = 1,
    ) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: no such file')
        self.session = _open_session(path, device, num_threads, runtime, dtype)
        description = read_description(self.session, path)
        if tiles > 1 and description['size'] is not None:
            raise ValueError(
                f'{path}: takes images of one size, but tiles need any size; '
                'export it without --shape'
            )
        test_cfg = tiled_test_cfg(description['test_cfg'], tiles)
        resize = enlarged_resize(description['resize'], tiles)
        self.description = description | dict(test_cfg=test_cfg, resize=resize)
        self.test_cfg = DecodingConfig(**self.description['test_cfg'])
        self._body_options: dict[str, Any] = self.description['body_model']
        if body_model is not None:
            self._body_options = self._body_options | dict(
                model_path=os.fspath(body_model)
            )
        self._names = [output.name for output in self.session.get_outputs()]

    @cached_property
    def body_model(self) -> NumpySMPLXLayer:
        """The body model.

        Raises:
            MissingBodyModelError: If its file is missing.
        """
        return NumpySMPLXLayer(**self._body_options)

    @cached_property
    def _blas(self) -> ThreadpoolController:
        # Busy waiting of its threads costs a third of the time.
        return ThreadpoolController()

    @property
    def body_model_name(self) -> str:
        """Name of the body model in results."""
        return str(self._body_options.get('model_path') or DEFAULT_BODY_MODEL)

    def __call__(self, image: np.ndarray, name: str = '') -> FrameResult:
        """Detect the persons in an image, with meshes.

        Args:
            image: ``(H, W, 3)`` uint8 BGR, as read by OpenCV.
            name: Name of the result.
        """
        prepared = self.prepare(image)
        (outputs,) = self.run([prepared])
        size = image.shape[1], image.shape[0]
        return self.decode(outputs, prepared, name, size, with_vertices=True)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Resize an image as in training.

        Args:
            image: ``(H, W, 3)`` uint8 BGR.

        Returns:
            ``(3, h, w)`` float32, 0..255.

        Raises:
            ValueError: If the array has another shape or dtype.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                'an image must be (H, W, 3) uint8, got '
                f'{image.shape} {image.dtype}'
            )
        resize = self.description['resize']
        rounding = resize.get('size_rounding', 'floor')
        size = image.shape[1], image.shape[0]
        frame = self.description['size']
        if frame is None:
            scale = resize.get('scale', (1333, 800))
            enlarged_scale = resize.get('enlarged_scale')
            target = keep_ratio_size(size, scale, rounding, enlarged_scale)
        else:
            target = fit_size(size, frame[::-1], rounding)
        resized = resize_image(
            image.astype(np.float32),
            target,
            resize.get('backend', 'warp_affine'),
        )
        return np.ascontiguousarray(resized.transpose(2, 0, 1))

    def run(self, images: Sequence[np.ndarray]) -> list[Outputs]:
        """Outputs of the network.

        Args:
            images: ``B`` results of :meth:`prepare`, all of the same size.

        Returns:
            For each image the outputs ``(P, ...)`` by name.  Files with
            dynamic sizes use all levels of ``test_cfg.pyramid``, others only
            the images.
        """
        if self.description['size'] is not None:  # with a batch size of one
            return [out for x in images for out in self._run(x[None])]
        batch = np.stack(images)
        outputs = []
        for level in self.test_cfg.pyramid:
            resized = resize_images(batch, level.scale)
            found = run_tiles(resized, level.tiles, self._run)
            outputs.append([(x, resized.shape[:-3:-1]) for x in found])
        size = batch.shape[:-3:-1]
        return [
            join_levels(levels, size) for levels in zip(*outputs, strict=True)
        ]

    def _run(self, batch: np.ndarray) -> list[Outputs]:
        height, width = batch.shape[-2:]
        sizes = np.tile(np.array([[height, width]], np.int64), (len(batch), 1))
        if self.description['size'] is not None:
            rows, columns = self.description['size']
            margins = (
                (0, 0),
                (0, 0),
                (0, rows - height),
                (0, columns - width),
            )
            batch = np.pad(batch, margins)
        values = self.session.run(None, dict(images=batch, sizes=sizes))
        return [
            {n: x[i] for n, x in zip(self._names, values, strict=True)}
            for i in range(len(batch))
        ]

    def decode(
        self,
        outputs: Outputs,
        prepared: np.ndarray,
        name: str,
        size: tuple[int, int],
        source_frame: int = 0,
        timestamp: float = 0.0,
        *,
        test_cfg: DecodingConfig | None = None,
        with_vertices: bool = False,
    ) -> FrameResult:
        """Select and pose the persons of an image.

        Args:
            outputs: Outputs of the network for this image.
            prepared: Result of :meth:`prepare`.
            name: Name of the result.
            size: ``(width, height)`` of the original image.
            source_frame: Number of the frame in the video.
            timestamp: Seconds.
            test_cfg: Options; ``None`` for those of the file.
            with_vertices: Also compute the meshes.
        """
        config = replace(
            test_cfg or self.test_cfg, with_vertices=with_vertices
        )
        input_size = prepared.shape[2], prepared.shape[1]
        with _LIMITING, self._blas.limit(limits=1, user_api='blas'):
            persons = decode_persons(
                outputs, input_size, size, self.body_model, config
            )
        return FrameResult.from_prediction(
            persons, name, size, source_frame, timestamp, with_vertices
        )


def _open_session(
    path: str | os.PathLike,
    device: str,
    num_threads: int | None,
    runtime: str,
    dtype: str,
) -> Any:
    if runtime not in RUNTIMES:
        raise ValueError(
            f'runtime must be one of {", ".join(RUNTIMES)}, got {runtime!r}'
        )
    if runtime == 'openvino':
        if device != 'cpu':
            raise OnnxError(
                f'runtime openvino supports device cpu only, got {device}'
            )
        return OpenVINOSession(path, num_threads, dtype)
    if dtype != 'float32':
        raise OnnxError(f'dtype {dtype} needs runtime openvino')
    return make_session(path, device, num_threads)
