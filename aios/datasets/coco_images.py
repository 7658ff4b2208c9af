# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of a COCO file, for metrics that read the file themselves."""

from __future__ import annotations

import json
import os.path as osp
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.fileio import get_text

from aios.registry import DATASETS
from aios.utils.safe_io import leaves_folder

from .pipeline import build_pipeline
from .transforms.label_geometry import start_record

_MAX_SIZE = 100_000  # pixels


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= _MAX_SIZE


_IMAGE_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    'id': (lambda value: type(value) is int, 'an integer'),
    'file_name': (
        lambda value: (
            isinstance(value, str) and bool(value) and not leaves_folder(value)
        ),
        'the name of a file, relative and inside data_prefix',
    ),
    'height': (_is_size, f'an integer of 1 to {_MAX_SIZE}'),
    'width': (_is_size, f'an integer of 1 to {_MAX_SIZE}'),
}


@DATASETS.register_module()
class CocoImageDataset(BaseDataset):
    """Every image of a COCO file, with or without persons.

    Samples have no labels.  ``img_id`` is that of the file, by which
    :class:`~aios.evaluation.CocoWholeBodyMetric` finds the persons.

    Args:
        ann_file: For example ``coco_wholebody_val_v1.0.json``, relative to
            ``data_root``.
        data_root: Folder of ``ann_file`` and of ``data_prefix``.
        data_prefix: ``dict(img=...)``, the folder of the images.
        pipeline: Transforms, or their configs.
        dataset_name: Name in logs and samples.
        **kwargs: See :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a COCO file.
    """

    METAINFO = {'dataset_type': 'coco_images'}

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        pipeline: Sequence[Any] = (),
        *,
        dataset_name: str = 'coco',
        **kwargs: Any,
    ) -> None:
        self.dataset_name = dataset_name
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(data_prefix or {'img': ''}),
            pipeline=build_pipeline(pipeline),
            **{'test_mode': True, **kwargs},
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images."""
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{self.ann_file} does not exist; set data_root and ann_file '
                'to the COCO-WholeBody annotations, or AIOS_DATA to the '
                'data folder. See docs/en/evaluation.md'
            )
        root = self.data_prefix.get('img', '')
        return [
            {
                'img_id': image['id'],
                'img_path': osp.join(root, image['file_name']),
                'height': image['height'],
                'width': image['width'],
            }
            for image in self._images()
        ]

    def _images(self) -> list[dict[str, Any]]:
        """Checked entries of ``images``."""
        try:
            content = json.loads(get_text(self.ann_file))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f'{self.ann_file}: damaged or not JSON ({error})'
            ) from error
        images = content.get('images') if isinstance(content, dict) else None
        if not isinstance(images, list):
            raise ValueError(
                f'{self.ann_file}: not a COCO file, it has no images'
            )
        for index, image in enumerate(images):
            for field, (check, allowed) in _IMAGE_FIELDS.items():
                value = image.get(field) if isinstance(image, dict) else None
                if not check(value):
                    raise ValueError(
                        f'{self.ann_file}: images[{index}].{field} must be '
                        f'{allowed}, got {value!r:.80}'
                    )
        ids = Counter(image['id'] for image in images)
        if twice := [key for key, count in ids.items() if count > 1]:
            raise ValueError(
                f'{self.ann_file}: two images have the id {twice[0]}'
            )
        return images

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One image."""
        info = super().get_data_info(idx)
        info['dataset_name'] = self.dataset_name
        start_record(info)
        return info
