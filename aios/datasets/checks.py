# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checks of the content of HumanData files, beyond their structure.

Symbols: ``N`` rows (persons).
"""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aios.structures import PARTS, pairwise_iou, sanitize_xywh
from aios.utils.images import decode_image

from .faults import HumanDataError
from .findings import Finding, Report
from .finite import find_non_finite, rows_not_finite
from .hand_convention import (
    HAND_TOLERANCE,
    fitting_conventions,
    posable_rows,
    pose_errors,
)
from .human_data import HumanData
from .image_sizes import are_image_sizes, listed_sizes
from .joint_checks import boxes_of_joints, confidences, eyes, spans
from .label_options import KEYPOINTS_3D
from .labels import hand_poses_are_flat
from .schema import is_keypoint_key
from .supervision import unboxed_parts

BODY_TOLERANCE = 0.01  # meters, after aligning the pelvis
_DUPLICATE_IOU = 0.98
_MAX_PER_IMAGE = 200
_HAND_NAMES = {False: 'relative to the mean hand', True: 'absolute (flat)'}


def check_human_data(
    data: HumanData,
    image_root: str | os.PathLike | None = None,
    model_path: str | None = None,
    samples: int = 256,
) -> Report:
    """Check values, boxes, images, hands, eyes and duplicates.

    Args:
        data: A file without structural faults.
        image_root: Folder that ``image_path`` is relative to; without it
            images are not checked.
        model_path: Body models for the check of hands, see
            :func:`aios.body_models.find_body_model`.
        samples: Number of evenly spaced persons that are posed.

    Returns:
        The report.
    """
    report = Report()
    if not len(data) or 'image_path' not in data:
        what = 'person' if 'image_path' in data else 'image_path'
        report.findings.append(Finding('rows', f'there is no {what}'))
        return report
    _describe(data, report)
    for found in (  # generators, which are evaluated in this order
        _non_finite(data),
        confidences(data),
        _boxes(data),
        boxes_of_joints(data),
        spans(data),
        _unboxed_parts(data),
        _images(data, image_root, report),
        _duplicates(data, report),
        eyes(data, report),
        _hands(data, model_path, samples, report),
    ):
        report.findings.extend(found)
    return report


def _describe(data: HumanData, report: Report) -> None:
    persons = [len(rows) for rows in data.images()]
    mean = np.mean(persons) if persons else 0
    report.facts['file'] = (
        f'{len(persons):,} images, {len(data):,} persons, {mean:.2f} per '
        f'image (at most {max(persons, default=0)})'
    )
    shares = []
    for part in PARTS:
        boxes = data.get(f'{part}_bbox_xywh')
        share = 0.0 if boxes is None else float((boxes[:, 4] > 0).mean())
        shares.append(f'{part} {100 * share:.1f} %')
    valid = data.get('meta', {}).get('smplx_valid')
    if valid is not None and len(valid):
        fits = 100 * float(np.mean(np.asarray(valid) != 0))
        shares.append(f'body fits {fits:.1f} %')
    report.facts['annotated'] = ', '.join(shares)
    keys = [k for k in data if is_keypoint_key(k)]
    report.facts['keypoints'] = ', '.join(keys) or 'none'


def _non_finite(data: HumanData) -> Iterator[Finding]:
    items = {key: data.raw(key) for key in data}
    for fault in find_non_finite(items):
        group, _, name = fault.field.partition('.')
        value = items[group][name] if name else items[group]
        yield Finding(
            'not finite',
            f'{fault.field} is NaN or infinite',
            rows=np.flatnonzero(rows_not_finite(items, fault.field, value)),
            drops=len(value) == len(data),
        )


def _boxes(data: HumanData) -> Iterator[Finding]:
    if 'bbox_xywh' not in data:
        yield Finding('boxes', 'there is no bbox_xywh')
        return
    sizes = listed_sizes(data)
    if sizes is None:
        yield Finding(
            'image size',
            'no meta.height, meta.width: datasets read the images for them, '
            'and boxes are not checked against the image',
            is_error=False,
        )
        sizes = (np.full(len(data), 1e6),) * 2
    pairs = np.stack(sizes, axis=1)
    rows = np.flatnonzero(~are_image_sizes(pairs))
    if len(rows):
        yield Finding(
            'image size',
            'meta.height, meta.width must be numbers of pixels',
            rows=rows,
            drops=True,
            example=f'height, width {pairs[rows[0]].tolist()}',
        )
    boxes = np.nan_to_num(np.asarray(data['bbox_xywh'], float)[:, :4])
    _, valid = sanitize_xywh(boxes, *sizes)
    rows = np.flatnonzero(~valid)
    if len(rows):
        yield Finding(
            'empty box',
            'the body box has no area inside the image',
            rows=rows,
            drops=True,
            example=f'xywh {np.round(boxes[rows[0]], 1).tolist()}',
        )
    beyond = (
        (boxes[:, 0] < -1)
        | (boxes[:, 1] < -1)
        | (boxes[:, 0] + boxes[:, 2] > sizes[1] + 1)
        | (boxes[:, 1] + boxes[:, 3] > sizes[0] + 1)
    )
    rows = np.flatnonzero(beyond & valid)
    if len(rows):
        yield Finding(
            'box beyond',
            'the body box leaves the image; it is shifted inside when read',
            is_error=False,
            rows=rows,
        )


def _unboxed_parts(data: HumanData) -> Iterator[Finding]:
    for part, count in unboxed_parts(data).items():
        yield Finding(
            f'{part} boxes',
            f'{count} persons have parameters but none has {part}_bbox_xywh: '
            'never trained; --fix derives boxes from SMPL-X',
            is_error=False,
        )


def _images(
    data: HumanData, root: str | os.PathLike | None, report: Report
) -> Iterator[Finding]:
    if root is None:
        report.facts['images'] = 'not looked for (no --images)'
        return
    from .image_list import present_files

    names = data['image_path']
    paths = {name: osp.join(root, name) for name in dict.fromkeys(names)}
    places = set(paths.values())
    present = present_files(places)
    rows = np.flatnonzero([paths[name] not in present for name in names])
    if len(rows):
        yield Finding(
            'missing image',
            f'{len(places) - len(present)} images do not exist',
            rows=rows,
            drops=True,
            example=paths[names[rows[0]]],
        )
    first_rows: dict[str, int] = {}
    for row, name in enumerate(names):
        if paths[name] in present:
            first_rows.setdefault(paths[name], row)
    yield from _image_sizes(data, first_rows, report)


def _image_sizes(
    data: HumanData, first_rows: dict[str, int], report: Report
) -> Iterator[Finding]:
    """Open some images; ``first_rows`` holds the first row of each."""
    sizes, wrong, example = listed_sizes(data), [], ''
    paths = list(first_rows)
    count = min(8, len(paths))
    for index in np.linspace(0, len(paths) - 1, count).astype(int):
        path, row = paths[index], first_rows[paths[index]]
        try:
            image = decode_image(Path(path).read_bytes(), path)
        except (OSError, ValueError) as error:
            yield Finding('image', str(error), rows=np.array([row]))
            continue
        if sizes is not None:
            annotated = float(sizes[0][row]), float(sizes[1][row])
            if image.shape[:2] != annotated:
                wrong.append(row)
                example = example or (
                    f'{path} has height, width {image.shape[:2]}, '
                    f'annotated are {annotated[0]:g}, {annotated[1]:g}'
                )
    report.facts['images'] = f'{len(paths):,} exist, {count} opened'
    if wrong:
        yield Finding(
            'image size',
            'of the images opened, some have another size than annotated',
            rows=np.array(wrong),
            example=example,
        )


def _duplicates(data: HumanData, report: Report) -> Iterator[Finding]:
    if 'bbox_xywh' not in data:
        return
    kept = np.ones(len(data), bool)
    for finding in report.findings:
        if finding.drops:
            kept[finding.rows] = False
    boxes = np.nan_to_num(np.asarray(data['bbox_xywh'], float)[:, :4])
    boxes = np.hstack((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    found = []
    for rows in data.images():
        rows = rows[kept[rows]]
        if not 1 < len(rows) <= _MAX_PER_IMAGE:
            continue
        overlap = np.triu(pairwise_iou(boxes[rows], boxes[rows]), k=1)
        found += rows[(overlap > _DUPLICATE_IOU).any(axis=0)].tolist()
    if found:
        yield Finding(
            'duplicate',
            'another person of the image has the same body box '
            f'(IoU > {_DUPLICATE_IOU})',
            is_error=False,
            rows=np.array(sorted(found)),
            drops=True,
        )


def _errors_of_fits(
    data: HumanData,
    rows: np.ndarray,
    stored: np.ndarray,
    model_path: str | None,
    report: Report,
) -> dict[bool, tuple[np.ndarray, np.ndarray]]:
    """Results of ``pose_errors`` with relative and with absolute hands.

    Bodies of BEDLAM are neutral, although ``meta.gender`` is that of actors.
    """

    def measure(gender: str | None) -> dict:
        return {
            flat: pose_errors(data, rows, stored, model_path, flat, gender)
            for flat in (False, True)
        }

    errors = measure(None)
    if np.median(errors[True][1]) > BODY_TOLERANCE:
        neutral = measure('neutral')
        if np.median(neutral[True][1]) <= BODY_TOLERANCE:
            report.pose_gender = 'neutral'
            report.facts['bodies'] = (
                'those of the neutral model, whatever meta.gender says'
            )
            return neutral
    return errors


def _hands(
    data: HumanData, model_path: str | None, samples: int, report: Report
) -> Iterator[Finding]:
    """Find the hand convention with which SMPL-X gives the stored joints."""
    from aios.body_models import MissingBodyModelError

    stored_flat = None
    try:
        stored_flat = hand_poses_are_flat(data)
    except HumanDataError as error:
        yield Finding('hand convention', str(error.faults[0]))
    key = next((k for k in KEYPOINTS_3D if k in data), None)
    rows = posable_rows(data, samples)
    if key is None or not len(rows):
        report.facts['hands'] = 'not checked: no SMPL-X fits with 3-D joints'
        return
    stored = data.joints(key, 'smplx_55', rows)
    try:
        errors = _errors_of_fits(data, rows, stored, model_path, report)
    except MissingBodyModelError as error:
        report.facts['hands'] = f'not checked: {error}'
        return
    yield from _body_fits(errors, rows, key)
    if not len(errors[True][0]):
        report.facts['hands'] = f'not checked: {key} has no joints of hands'
        return
    medians = {flat: float(np.median(e[0])) for flat, e in errors.items()}
    measured = ', '.join(
        f'{_HAND_NAMES[flat]}: {1000 * median:.1f} mm'
        for flat, median in medians.items()
    )
    report.facts['hands'] = f'{len(rows)} persons posed; {measured}'
    fits = fitting_conventions(medians)
    if len(fits) == 1:
        report.flat_hands = fits[0]
        yield from _compare_hands(stored_flat, fits[0])
    else:
        yield Finding(
            'hand convention',
            f'both conventions give the joints of {key}'
            if fits
            else f'neither convention gives the joints of {key} within '
            f'{1000 * HAND_TOLERANCE:.0f} mm ({measured})',
            is_error=not fits,
        )


def _body_fits(
    errors: dict[bool, tuple[np.ndarray, np.ndarray]],
    rows: np.ndarray,
    key: str,
) -> Iterator[Finding]:
    body = np.minimum(errors[False][1], errors[True][1])
    far = body > BODY_TOLERANCE
    if far.mean() > 0.05:
        yield Finding(
            'body fit',
            f'the parameters do not give the joints of {key} within '
            f'{1000 * BODY_TOLERANCE:.0f} mm: other gender, model or frame',
            is_error=False,
            rows=rows[far],
            example=f'row {rows[far][0]} by {1000 * body[far][0]:.0f} mm',
        )


def _compare_hands(stored: bool | None, flat: bool) -> Iterator[Finding]:
    """Compare the hand convention of a file with that of its joints."""
    if stored != flat:
        said = 'does not say it'
        if stored is not None:
            said = f'says {_HAND_NAMES[stored]}'
        yield Finding(
            'hand convention',
            f'the file {said}, but hand poses are {_HAND_NAMES[flat]}',
            # Relative is the default.
            is_error=flat or stored is not None,
        )
