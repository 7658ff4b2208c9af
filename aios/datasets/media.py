# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images without labels, for inference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from aios.registry import DATASETS
from aios.utils.media import VIDEO_SUFFIXES, list_media

from .human_dataset import HumanDataset
from .pipeline import build_pipeline
from .transforms.label_geometry import start_record


@DATASETS.register_module()
class MediaDataset(BaseDataset):
    """Images without labels.

    Samples have ``img_path`` and ``img_id``.

    Args:
        source: A file, a folder, a pattern, or a list of these.
        pipeline: Transforms, or their configs.
        recursive: See :func:`list_media`.
        dataset_name: Name in logs and samples.
        **kwargs: ``lazy_init``, ``serialize_data`` and others of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If there is nothing to read.
        ValueError: If there are videos.
    """

    METAINFO = HumanDataset.METAINFO

    def __init__(
        self,
        source: str | os.PathLike | Sequence[str | os.PathLike],
        pipeline: Sequence[Any] = (),
        *,
        recursive: bool = False,
        dataset_name: str = 'media',
        **kwargs: Any,
    ) -> None:
        if isinstance(source, (str, os.PathLike)):
            source = [source]
        self.sources = list(source)
        self.recursive = recursive
        self.dataset_name = dataset_name
        super().__init__(
            pipeline=build_pipeline(pipeline),
            test_mode=True,
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List images."""
        paths = [p for source in self.sources for p in self._list(source)]
        for path in paths:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                raise ValueError(
                    f'{path}: is a video; datasets read images only, use '
                    'demo/video_demo.py for videos'
                )
        return [
            {'img_id': i, 'img_path': str(path)}
            for i, path in enumerate(paths)
        ]

    def _list(self, source: str | os.PathLike) -> list[Path]:
        try:
            return list_media(source, self.recursive)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{self.dataset_name}: {error}. Set source, or AIOS_DATA to '
                'the data folder; see docs/en/datasets.md for downloads and '
                'folders'
            ) from error

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One image."""
        info = super().get_data_info(idx)
        info['dataset_name'] = self.dataset_name
        start_record(info)
        return info
