# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The images of a label store as a sequence that takes no memory."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np

from .label_store import LabelStore


class ImageList(Sequence):
    """One dictionary per image, made of mapped columns when it is asked for.

    Args:
        store: Labels with ``image_...`` columns, see
            :func:`aios.datasets.label_blocks.label_blocks`.
        root: Folder that ``image_path`` is relative to.
        index: ``(M,)`` which images, default all.
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
        """Some of the images: integers, or a mask ``(M,)``."""
        if places.dtype == bool:
            places = np.flatnonzero(places)
        if self.numbers is None and len(places) == len(self):
            places = np.asarray(places)
            if (np.diff(places) == 1).all():
                return self  # all of them
        index = places if self.numbers is None else self.numbers[places]
        return ImageList(self.store, self.root, index.astype(np.int32))

    @property
    def persons(self) -> np.ndarray:
        """``(M,)`` how many each image has."""
        persons = np.diff(self.store['image_rows'], axis=1)[:, 0]
        return np.asarray(
            persons if self.numbers is None else persons[self.numbers]
        )

    def paths(self) -> list[str]:
        """Paths of all images."""
        paths = self.store['image_path']
        if self.numbers is not None:
            paths = paths[self.numbers]
        return [osp.join(self.root, path) for path in paths.tolist()]


def present_files(paths: set[str]) -> set[str]:
    """Those of the paths that exist, with one look into each folder."""
    folders: dict[str, set[str]] = {}
    for path in paths:
        folders.setdefault(osp.dirname(path), set()).add(path)
    present: set[str] = set()
    for folder, wanted in folders.items():
        if osp.isdir(folder or '.'):
            names = set(os.listdir(folder or '.'))
            present |= {p for p in wanted if osp.basename(p) in names}
    return present
