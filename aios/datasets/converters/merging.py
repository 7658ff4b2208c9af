# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Merge the parts of a conversion to one HumanData file.

A release has up to a few million persons of about 5 kB each.  Columns are
therefore merged one at a time into a memory-mapped file, so that only one
column of one part is in memory.

Symbols: ``N`` persons of all parts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.datasets.human_data import HumanData
from aios.datasets.schema import path_codes
from aios.structures import HUMAN_DATA_190, joint_mapping
from aios.utils.safe_io import list_npz, load_npz, save_npz

from .table import BODY_SCALE, PART_SCALE, PersonTable

_COUNTS = '__counts__'
# Joint sets of the columns that hold joints.
_JOINT_COLUMNS = {
    'keypoints2d_smplx': 'smplx_144',
    'keypoints3d_smplx': 'smplx_144',
    'keypoints2d_smpl': 'smpl_22',
    'keypoints3d_smpl': 'smpl_22',
    'keypoints2d_ori': 'coco_wholebody',
    'keypoints2d_ubody': 'coco_wholebody',
}


def write_part(file: Path, table: PersonTable) -> None:
    """Write the rows of one unit atomically."""
    columns = table.columns if len(table) else {}
    counts = np.array(json.dumps(table.counts))
    save_npz(file, {**columns, _COUNTS: counts}, overwrite=True)


def merge_parts(
    files: Sequence[Path],
    folder: Path,
    misc: Mapping[str, Any],
    config: str,
) -> tuple[HumanData, Counter]:
    """Merge the rows of all parts and group them by image.

    Args:
        files: Written by :func:`write_part`.
        folder: Temporary folder of columns, which are mapped from there.
        misc: Entries of ``misc``.
        config: Name of the dataset and its split.

    Returns:
        The file's content (without rows if there are no persons), and the
        numbers of items left out, by reason.

    Raises:
        ValueError: If the parts do not have the same columns.
    """
    counts: Counter = Counter()
    filled: list[Path] = []
    paths: list[str] = []
    for file in files:
        part = load_npz(file, (_COUNTS, 'image_path'))
        counts.update(json.loads(str(part[_COUNTS])))
        if 'image_path' in part:
            filled.append(file)
            paths += part['image_path'].tolist()
    if not filled:
        return HumanData(), counts
    folder.mkdir(exist_ok=True)
    order = np.argsort(path_codes(paths), kind='stable')
    place = np.argsort(order)  # images are contiguous
    nested: dict[str, dict[str, Any]] = {
        'smplx': {},
        'smpl': {},
        'meta': {},
    }
    items: dict[str, Any] = {}
    names = _column_names(filled)
    for number, key in enumerate(tqdm(names, desc='merge', unit='column')):
        target = folder / f'{number}.npy'
        value = _merged_column(filled, key, place, target)
        group, _, name = key.partition('/')
        (nested[group] if name else items)[name or group] = value
        if key in _JOINT_COLUMNS:
            mapping = _human_data_mapping(_JOINT_COLUMNS[key])
            items[f'{key}_mask'] = (mapping >= 0).astype(np.uint8)
            items[f'{key}_convention'] = 'human_data'
    if misc.get('flat_hand_mean'):
        # SMPLer-X reads it here, and mmhuman3d's BEDLAM file has it here.
        nested['smplx']['flat_hand_mean'] = np.ones(len(place), bool)
    items.update({k: v for k, v in nested.items() if v})
    items['misc'] = {
        'kps3d_root_aligned': False,
        'bbox_body_scale': BODY_SCALE,
        'bbox_facehand_scale': PART_SCALE,
        'cam_param_type': 'prespective',
        **misc,
    }
    items['config'] = config
    data = HumanData(items, compressed=True)
    data.set_frame_range()
    return data, counts


def _column_names(files: Sequence[Path]) -> list[str]:
    names = [key for key in list_npz(files[0]) if key != _COUNTS]
    for file in files[1:]:
        odd = sorted({*list_npz(file)} ^ {*names, _COUNTS})
        if odd:
            raise ValueError(f'{file}: has different columns: {odd}')
    return names


def _merged_column(
    files: Sequence[Path], key: str, place: np.ndarray, target: Path
) -> Any:
    """One column of all parts; numbers are memory-mapped from ``target``."""
    parts = (load_npz(file, (key,))[key] for file in files)
    first = next(parts)
    if first.dtype.kind == 'U':
        texts = np.concatenate([first, *parts])
        return texts[np.argsort(place)].tolist()
    merged, start = None, 0
    for part in chain([first], parts):
        if key in _JOINT_COLUMNS:
            # A compressed file lacks the joints that are absent.
            mapping = _human_data_mapping(_JOINT_COLUMNS[key])
            part = part[:, mapping[mapping >= 0]]
        if merged is None:
            merged = np.lib.format.open_memmap(
                target, 'w+', part.dtype, (len(place), *part.shape[1:])
            )
        merged[place[start : start + len(part)]] = part
        start += len(part)
    return merged


def _human_data_mapping(joint_set: str) -> np.ndarray:
    """``(190,)`` joints of another set, -1 where it has none.

    COCO's hips have two possible indices: mmhuman3d's files store them as
    the hips of SMPL-X, where other readers expect them.
    """
    mapping = joint_mapping(joint_set, 'human_data').copy()
    for side in ('left', 'right'):
        hip = HUMAN_DATA_190.index(f'{side}_hip')
        if mapping[hip] < 0:
            mapping[hip] = mapping[HUMAN_DATA_190.index(f'{side}_hip_extra')]
    return mapping
