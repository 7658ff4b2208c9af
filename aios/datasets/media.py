# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images and videos without labels, for inference."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from aios.registry import DATASETS
from aios.utils.media import VIDEO_SUFFIXES, list_media

from .human_dataset import HumanDataset
from .pipeline import build_pipeline
from .transforms.label_geometry import start_record

_ORPHANS: list[_VideoReader] = []


@DATASETS.register_module()
class MediaDataset(BaseDataset):
    """Images and frames of videos, without labels.

    Samples have ``img_path`` (of the image or the video), ``img_id``,
    ``frame_id`` (0 for an image) and, for videos, ``img``: a decoded frame,
    which :class:`~aios.datasets.transforms.LoadImage` takes as it is.  Frames
    are decoded one after the other: each worker has a reader of its own and
    seeks only when it must.

    Args:
        source: A file, a folder, a pattern, or a list of these.
        pipeline: Transforms, or their configs.
        recursive: See :func:`list_media`.
        frame_interval: Take every n-th frame of videos.
        dataset_name: Name in logs and samples.
        **kwargs: ``lazy_init``, ``serialize_data`` and others of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If there is nothing to read.
        ValueError: If a video cannot be opened.
    """

    METAINFO = HumanDataset.METAINFO

    def __init__(
        self,
        source: str | os.PathLike | Sequence[str | os.PathLike],
        pipeline: Sequence[Any] = (),
        *,
        recursive: bool = False,
        frame_interval: int = 1,
        dataset_name: str = 'media',
        **kwargs: Any,
    ) -> None:
        if frame_interval < 1:
            raise ValueError(
                f'frame_interval must be >= 1, got {frame_interval}'
            )
        if isinstance(source, (str, os.PathLike)):
            source = [source]
        self.sources = list(source)
        self.recursive = recursive
        self.frame_interval = frame_interval
        self.dataset_name = dataset_name
        self._reader: _VideoReader | None = None
        super().__init__(
            pipeline=build_pipeline(pipeline),
            test_mode=True,
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List images, and frames of videos."""
        entries = (
            entry
            for source in self.sources
            for path in self._list(source)
            for entry in self._entries(path)
        )
        return [{'img_id': i, **e} for i, e in enumerate(entries)]

    def _list(self, source: str | os.PathLike) -> list[Path]:
        try:
            return list_media(source, self.recursive)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{self.dataset_name}: {error}. Correct source; '
                'docs/en/datasets.md says what to download and where it goes '
                '(all data in another folder: AIOS_DATA)'
            ) from error

    def _entries(self, path: Path) -> Iterator[dict[str, Any]]:
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            yield {'img_path': str(path), 'frame_id': 0, 'is_video': False}
            return
        reader = _VideoReader(str(path))
        for frame in range(0, reader.count, self.frame_interval):
            yield {'img_path': str(path), 'frame_id': frame, 'is_video': True}

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One image or frame."""
        info = super().get_data_info(idx)
        info['dataset_name'] = self.dataset_name
        start_record(info)
        if info.pop('is_video'):
            reader = self._reader_of(info['img_path'])
            info['img'] = reader.read(info['frame_id'])
        return info

    def _reader_of(self, path: str) -> _VideoReader:
        reader = self._reader
        if reader is not None and reader.pid != os.getpid():
            # Inherited by fork. Its threads stayed behind, so closing it
            # would wait for them forever.
            _ORPHANS.append(reader)
            reader = None
        if reader is None or reader.path != path:
            reader = self._reader = _VideoReader(path)
        return reader

    def __getstate__(self) -> dict[str, Any]:
        # Video readers do not travel to worker processes.
        return {**self.__dict__, '_reader': None}


class _VideoReader:
    """Frames of a video by number, fast when asked for in order.

    Args:
        path: The file.

    Raises:
        ValueError: If OpenCV cannot open it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.pid = os.getpid()
        self._open()
        self.count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self.count < 1:
            self.count = self._count_by_reading()

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(self.path)
        if not self._capture.isOpened():
            raise ValueError(
                f'{self.path}: OpenCV cannot open this video; convert it, '
                'for example to mp4 (H.264)'
            )
        self._next = 0

    def _count_by_reading(self) -> int:
        count = 0
        while self._capture.grab():
            count += 1
        self._open()
        return count

    def read(self, frame: int) -> np.ndarray:
        """Frame ``(H, W, 3)`` uint8 BGR."""
        if frame < self._next:
            self._open()
        while self._next < frame:
            if not self._capture.grab():
                break
            self._next += 1
        done, image = self._capture.read()
        if not done:
            raise ValueError(
                f'{self.path}: frame {frame} of {self.count} cannot be read'
            )
        self._next = frame + 1
        return image
