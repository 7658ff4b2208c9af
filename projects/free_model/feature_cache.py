# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cache of the features of a frozen backbone.

Images are cached in chunks.  The images of equal size in a chunk form one
array per level, so that a batch is a few rows of memory-mapped files:

    chunk_0003.json                {"192x256": [dataset indices], ...}
    chunk_0003_192x256_0.npy       (n, C, H, W) float16, level 0

A chunk is complete once its ``.json`` exists, which is written last.  Its
``"images"`` identifies the images: when a dataset grows, images without
persons, which come last, get other indices.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from aios.utils.digests import digest

CHUNK = 512


@dataclass(frozen=True)
class Block:
    """Images of equal size in one chunk.

    Args:
        size: ``(height, width)`` in pixels.
        indices: Index of each image in its dataset.
        levels: For each level ``(n, C, H, W)`` float16, memory-mapped.
    """

    size: tuple[int, int]
    indices: list[int]
    levels: list[np.ndarray]


def cache_features(
    dataset: Any,
    model: nn.Module,
    folder: Path,
    *,
    device: str = 'cpu',
    batch_size: int = 8,
    rank: int = 0,
    world_size: int = 1,
) -> None:
    """Compute and write the missing chunks of a dataset.

    Chunks of other images than the dataset has now are replaced.

    Args:
        dataset: With items ``inputs`` ``(3, H, W)`` and ``data_samples``, and
            the paths of the images, ``data_list.paths()``.
        model: A detector; its data preprocessor and backbone are used.
        folder: Output folder.
        device: Device of the computation.
        batch_size: Number of images of equal size per batch.
        rank: Number of this process.
        world_size: Number of processes that share the chunks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-len(dataset) // CHUNK)
    paths = dataset.data_list.paths()
    for left_over in chunks(folder) if rank == 0 else ():
        if left_over.stem not in map(_stem, range(count)):
            _remove(left_over)
    numbers = range(rank, count, world_size)
    for number in tqdm(numbers, desc=f'features {folder}', disable=rank > 0):
        start = number * CHUNK
        rows = range(start, min(start + CHUNK, len(dataset)))
        images = _fingerprint([paths[i] for i in rows])
        index_file = folder / f'{_stem(number)}.json'
        if index_file.exists():
            known, sizes = _read_index(index_file)
            cached = sum(map(len, sizes.values()))
            # Caches of earlier versions do not know their images.
            if cached == len(rows) and known in (images, None):
                continue
            _remove(index_file)
        by_size = defaultdict(list)
        for i in rows:
            item = dataset[i]
            by_size[tuple(item['inputs'].shape[-2:])].append((i, item))
        index: dict[str, Any] = {'images': images}
        for size, items in by_size.items():
            name = f'{size[0]}x{size[1]}'
            levels = _compute(model, [x for _, x in items], device, batch_size)
            for level, values in enumerate(levels):
                path = folder / f'{_stem(number)}_{name}_{level}.npy'
                _write(path, lambda file, x=values: np.save(file, x))
            index[name] = [i for i, _ in items]
        text = json.dumps(index).encode()
        _write(index_file, lambda file, x=text: file.write(x))


def chunks(folder: Path) -> list[Path]:
    """The ``.json`` files of all complete chunks of a folder.

    Args:
        folder: See :func:`cache_features`.
    """
    return sorted(folder.glob('chunk_*.json'))


def read_blocks(paths: Iterable[Path]) -> Iterator[Block]:
    """Read the blocks of chunks.

    Args:
        paths: See :func:`chunks`.
    """
    for path in paths:
        for name, indices in _read_index(path)[1].items():
            files = sorted(path.parent.glob(f'{path.stem}_{name}_*.npy'))
            levels = [np.load(file, mmap_mode='r') for file in files]
            height, width = map(int, name.split('x'))
            yield Block((height, width), indices, levels)


@torch.inference_mode()
def _compute(
    model: Any, items: list[dict], device: str, batch_size: int
) -> list[np.ndarray]:
    levels: list[list[np.ndarray]] = []
    for start in range(0, len(items), batch_size):
        part = items[start : start + batch_size]
        data = model.data_preprocessor(
            dict(
                inputs=[x['inputs'].to(device) for x in part],
                data_samples=[x['data_samples'] for x in part],
            )
        )
        images: Tensor = data['inputs']
        # bfloat16 halves the time on processors that support it, with an
        # error of a few percent of a channel's standard deviation.
        with torch.autocast(images.device.type, torch.bfloat16):
            features = model.backbone(
                images.contiguous(memory_format=torch.channels_last)
            )
        levels.append([x.half().cpu().numpy() for x in features])
    return [np.concatenate(level) for level in zip(*levels, strict=True)]


def _stem(number: int) -> str:
    return f'chunk_{number:04d}'


def _fingerprint(paths: list[str]) -> str:
    return digest([(Path(p).name, os.path.getsize(p)) for p in paths])


def _read_index(path: Path) -> tuple[str | None, dict[str, list[int]]]:
    """Fingerprint of the images of a chunk, and their indices by size."""
    index = json.loads(path.read_text())
    return index.pop('images', None), index


def _remove(index_file: Path) -> None:
    index_file.unlink()  # first, so that the chunk is never incomplete
    for path in index_file.parent.glob(f'{index_file.stem}_*.npy'):
        path.unlink()


def _write(path: Path, write: Any) -> None:
    """Write a file atomically."""
    temporary = path.with_name(f'.{path.name}.part')
    with temporary.open('wb') as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
