# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of a label store as a lazy sequence."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np

from .label_store import LabelStore


class ImageList(Sequence):
    """One dictionary per image, created on access from mapped columns.

    Args:
        store: Labels with ``image_...`` columns, see
            :func:`aios.datasets.label_blocks.label_blocks`.
        root: Folder that ``image_path`` is relative to.
        index: ``(M,)`` selected images, default all.
    """

    def __init__(
        self, store: LabelStore, root: str, index: np.ndarray | None = None
    ) -> None:
        self.store = store
        self.root = root
        self.numbers = index

    def __len__(self) -> int:
        if self.numbers is None:
            return len(self.store['image_rows'])
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return self.select(np.arange(len(self))[place])
        if not -len(self) <= place < len(self):
            raise IndexError(f'{place} of {len(self)} images')
        place = place % len(self)
        number = place if self.numbers is None else int(self.numbers[place])
        row = {
            name: self.store[f'image_{name}'][number].tolist()
            for name in ('path', 'index', 'size', 'rows', 'camera')
        }
        info = {
            'img_path': osp.join(self.root, row['path']),
            'img_id': row['index'],
            'height': row['size'][0],
            'width': row['size'][1],
            'rows': (*row['rows'],),
            'camera': row['camera'],
        }
        if 'image_ignored' in self.store:
            info['ignored'] = (*self.store['image_ignored'][number].tolist(),)
        return info

    def select(self, places: np.ndarray) -> ImageList:
        """Select images by indices or by a mask ``(M,)``."""
        if places.dtype == bool:
            places = np.flatnonzero(places)
        in_order = len(places) == len(self) and (np.diff(places) == 1).all()
        if self.numbers is None and in_order:
            return self
        index = places if self.numbers is None else self.numbers[places]
        return ImageList(self.store, self.root, index.astype(np.int32))

    @property
    def persons(self) -> np.ndarray:
        """``(M,)`` number of persons of each image."""
        persons = np.diff(self.store['image_rows'], axis=1)[:, 0]
        return np.asarray(
            persons if self.numbers is None else persons[self.numbers]
        )

    @property
    def heights(self) -> np.ndarray:
        """``(M,)`` height of each image."""
        heights = self.store['image_size'][:, 0]
        return np.asarray(
            heights if self.numbers is None else heights[self.numbers]
        )

    def paths(self) -> list[str]:
        """Paths of all images."""
        paths = self.store['image_path']
        if self.numbers is not None:
            paths = paths[self.numbers]
        return [osp.join(self.root, path) for path in paths.tolist()]


def present_files(paths: set[str]) -> set[str]:
    """Paths that exist; each folder is listed once."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        folders.setdefault(osp.dirname(path), set()).add(path)
    present: set[str] = set()
    for folder, wanted in folders.items():
        if osp.isdir(folder or '.'):
            names = set(os.listdir(folder or '.'))
            present |= {p for p in wanted if osp.basename(p) in names}
    return present
