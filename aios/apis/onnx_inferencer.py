# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference without PyTorch and OpenMMLab."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np

from aios.results import FrameResult
from aios.runtime import OnnxDetector
from aios.structures.decoding import DecodingConfig
from aios.utils.digests import file_sha256

from .batches import Batch, predict_frames
from .cameras import CameraModel
from .frames import Frame
from .instance_filter import InstanceFilter
from .shipped import shipped_onnx
from .sources import open_sources


class OnnxInferencer:
    """Find persons without PyTorch (``docs/en/runtime.md``).

    It has the methods of :class:`AiOSInferencer` that
    :func:`~aios.apis.run_inference` uses, and :meth:`stream`.

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
    ) -> None:
        self.instance_filter = InstanceFilter(score_thr, max_persons, nms_iou)
        self.camera = CameraModel.create(focal_length, fov, intrinsics, exif)
        if batch_size < 1:
            raise ValueError(f'batch_size must be >= 1, got {batch_size}')
        self.batch_size = batch_size
        self.show_progress = show_progress
        self._path = shipped_onnx() if path is None else path
        self.detector = OnnxDetector(
            self._path,
            device or 'cpu',
            num_threads,
            body_model,
            runtime=runtime,
            dtype=dtype,
        )
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
            config=f'{self._runtime}, body model {self.body_model_name}',
            checkpoint=file_sha256(self._path)[:16],
        )

    def stream(
        self,
        inputs: Any,
        batch_size: int | None = None,
        with_vertices: bool = False,
        **reading: Any,
    ) -> Iterator[FrameResult]:
        """Find persons frame by frame, in constant memory.

        Args:
            inputs: See :func:`~aios.apis.open_sources`.
            batch_size: Default: that of the inferencer.
            with_vertices: Also return the meshes, ``(n, V, 3)``.
            **reading: Options of :func:`~aios.apis.open_sources`.

        Yields:
            Results, also of frames without persons.

        Raises:
            ValueError: If an image cannot be read.
        """
        for source in open_sources(inputs, **reading):
            for _, result, _ in self.predict(
                source.frames(),
                batch_size,
                source.live,
                with_vertices=with_vertices,
            ):
                if result is None:
                    raise ValueError(source.problems[-1])
                yield result

    def predict(
        self,
        frames: Iterable[Frame],
        batch_size: int | None = None,
        live: bool = False,
        is_known: Callable[[int], bool] | None = None,
        *,
        score_thr: float | None = None,
        with_vertices: bool = False,
    ) -> Iterator[tuple[Frame, FrameResult | None, None]]:
        """Find the persons of frames, which a thread prepares in advance.

        Args:
            frames: The frames; their order is kept.
            batch_size: Default: that of the inferencer.
            live: Skip frames that wait too long.
            is_known: Whether to skip the network for a frame, by its index.
            score_thr: Default: that of the inferencer.
            with_vertices: Also compute the meshes.

        Yields:
            The frame, its persons (``None`` for skipped frames), and ``None``
            in place of the sample of :meth:`AiOSInferencer.predict`.
        """
        chosen = self.instance_filter
        if score_thr is not None:
            chosen = replace(chosen, score_thr=score_thr)
        test_cfg = DecodingConfig(
            **chosen.test_cfg(self.detector.description['test_cfg'])
        )
        return predict_frames(
            map(self.camera.undistorted, frames),
            lambda frame: self.detector.prepare(cast(np.ndarray, frame.image)),
            lambda batch: self._predict_batch(batch, test_cfg, with_vertices),
            batch_size or self.batch_size,
            live,
            is_known,
        )

    def _predict_batch(
        self,
        batch: Batch,
        test_cfg: DecodingConfig,
        with_vertices: bool,
    ) -> Iterator[tuple[FrameResult, None]]:
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
            ).select(slice(self.instance_filter.max_persons))
            yield self.camera.place(result, frame.focal_length), None
