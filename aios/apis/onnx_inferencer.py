# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference without PyTorch and OpenMMLab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast

import numpy as np

from aios.results import FrameResult
from aios.runtime import OnnxDetector
from aios.structures.decoding import DecodingConfig
from aios.utils.digests import file_sha256

from .batches import Batch
from .cameras import CameraModel
from .frame_inferencer import FrameInferencer
from .frames import Frame
from .instance_filter import InstanceFilter
from .shipped import shipped_onnx


class OnnxInferencer(FrameInferencer):
    """Find persons without PyTorch (``docs/en/runtime.md``).

    It is a :class:`FrameInferencer`, which has :meth:`stream`.

    Examples:
        >>> inferencer = OnnxInferencer()  # aios_s
        >>> for frame in inferencer.stream('video.mp4'):
        ...     print(frame.name, frame.instances['transl'])

    Args:
        path: A file of ``python -m aios export``; default: that of
            ``aios_s``, see :func:`~aios.apis.shipped.shipped_onnx`.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``.
        num_threads: Threads on the CPU; default: number of cores.
        body_model: SMPL-X files, or ``'free'``; default: as in training.
        score_thr: See :class:`InstanceFilter`.
        max_persons: See :class:`InstanceFilter`.
        nms_iou: See :class:`InstanceFilter`.
        focal_length: See :class:`AiOSInferencer`.
        fov: See :class:`AiOSInferencer`.
        intrinsics: See :class:`AiOSInferencer`.
        exif: See :class:`AiOSInferencer`.
        batch_size: Images of the same size at once.
        show_progress: Show a progress bar during runs.
        runtime: See :class:`~aios.runtime.OnnxDetector`.
        dtype: See :class:`~aios.runtime.OnnxDetector`.
        tiles: See :class:`AiOSInferencer`.

    Raises:
        OnnxError: If the runtime is missing, or does not support the device
            or the dtype.
        FileNotFoundError: If the file is missing.
        ValueError: If the file is not an export, or an option is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        device: str | None = None,
        num_threads: int | None = None,
        body_model: str | os.PathLike | None = None,
        *,
        score_thr: float = 0.3,
        max_persons: int | None = None,
        nms_iou: float | None = None,
        focal_length: float | None = None,
        fov: float | None = None,
        intrinsics: np.ndarray | str | os.PathLike | None = None,
        exif: bool = True,
        batch_size: int = 1,
        show_progress: bool = True,
        runtime: str = 'onnx',
        dtype: str = 'float32',
        tiles: int = 1,
    ) -> None:
        self._set_options(
            InstanceFilter(score_thr, max_persons, nms_iou),
            CameraModel.create(focal_length, fov, intrinsics, exif),
            batch_size,
        )
        self.show_progress = show_progress
        self._path = shipped_onnx() if path is None else path
        self.detector = OnnxDetector(
            self._path,
            device or 'cpu',
            num_threads,
            body_model,
            runtime=runtime,
            dtype=dtype,
            tiles=tiles,
        )
        self._tiles = tiles
        self._runtime = runtime if dtype == 'float32' else f'{runtime} {dtype}'

    @property
    def body_model(self) -> Any:
        """The body model."""
        return self.detector.body_model

    @property
    def body_model_name(self) -> str:
        """Name of the body model in results."""
        return self.detector.body_model_name

    @property
    def model_name(self) -> str:
        """Name of the model in results."""
        return str(self.detector.description.get('model', ''))

    @property
    def faces(self) -> np.ndarray:
        """``(F, 3)`` triangles of the bodies."""
        return self.body_model.faces

    def fingerprint(self) -> dict[str, str]:
        """Digests of everything that results depend on besides options."""
        return dict(
            config=f'{self._runtime}, body model {self.body_model_name}'
            + f', {self._tiles} tiles' * (self._tiles > 1),
            checkpoint=self._file_digest,
        )

    @cached_property
    def _file_digest(self) -> str:
        return file_sha256(self._path)[:16]

    def _prepare(self, frame: Frame) -> np.ndarray:
        return self.detector.prepare(cast(np.ndarray, frame.image))

    def _predict_batch(
        self, batch: Batch, chosen: InstanceFilter, with_vertices: bool
    ) -> Iterator[tuple[FrameResult, None]]:
        test_cfg = DecodingConfig(
            **chosen.test_cfg(self.detector.description['test_cfg'])
        )
        outputs = self.detector.run([image for _, image in batch])
        for (frame, image), out in zip(batch, outputs, strict=True):
            result = self.detector.decode(
                out,
                image,
                frame.name,
                frame.size,
                frame.source_frame,
                frame.timestamp,
                test_cfg=test_cfg,
                with_vertices=with_vertices,
            )
            yield result, None
