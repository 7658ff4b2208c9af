#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Write a contact sheet of the persons with the largest errors.

Each case shows the image around the person with the ground-truth joints (left)
and the predicted joints (right). Reads the predictions of tools/test.py --out.

Example:
    python tools/analysis_tools/worst_cases.py CONFIG predictions.pkl \
        --part lhand -n 24 --out work_dirs/NAME/worst
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.evaluation.agora.reader import dumped_records
from aios.evaluation.analysis import (
    FROM_144,
    NEEDED,
    PARTS,
    JointErrors,
    RecordFinder,
    compare_joints,
    labels_in_image,
)
from aios.evaluation.analysis_cli import (
    add_common_options,
    build_dataset,
    check_outputs,
)
from aios.utils.command_line import errors_in_one_line, make_parser, number
from aios.utils.images import decode_image
from aios.utils.json_record import write_record
from aios.visualization import contact_sheet, write_image
from aios.visualization.drawing import draw_boxes, draw_skeleton

OUTPUTS = ('worst.json', 'worst.jpg')
MARGIN = 0.15
HEIGHT = 320
_RED = (230, 60, 60)


def worst_persons(
    errors: JointErrors, part: str, number: int
) -> list[dict[str, Any]]:
    """The persons with the largest errors, or the first missed ones."""
    if part == 'missed':
        return [
            {'image': image, 'person': person}
            for image, person in errors.missed[:number].tolist()
        ]
    values = errors.of_persons(part)
    order = np.argsort(-values, kind='stable')[:number]
    return [
        {
            'image': int(errors.images[row]),
            'person': int(errors.persons[row, 0]),
            'prediction': int(errors.persons[row, 1]),
            'score': float(errors.scores[row]),
            'error': float(values[row]),
        }
        for row in order.tolist()
        if values[row] >= 0
    ]


def draw_case(
    case: Mapping[str, Any],
    info: Mapping[str, Any],
    persons: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Truth and prediction of a person side by side, RGB."""
    path = info['img_path']
    image = decode_image(Path(path).read_bytes(), path)
    image = np.ascontiguousarray(image[..., ::-1])
    true = labels_in_image(info, image.shape)
    person = case['person']
    boxes = [true['bboxes'][person]]
    prediction = case.get('prediction')
    if prediction is not None:
        boxes.append(persons['bboxes'][prediction])
    left, top, right, bottom = _window(np.array(boxes), image.shape)
    scale = HEIGHT / (bottom - top)
    size = max(1, round((right - left) * scale)), HEIGHT
    crop = cv2.resize(image[top:bottom, left:right], size)
    corner = np.array((left, top))
    there, here = crop.copy(), crop.copy()
    known = true['keypoints_weight'][person]
    draw_skeleton(
        there,
        (true['keypoints'][person] - corner) * scale,
        'smplx_137',
        visible=true['keypoints_visible'][person],
        drawn=np.maximum(known, true['keypoints_visible'][person]),
    )
    if prediction is None:
        box = (boxes[0] - np.tile(corner, 2)) * scale
        draw_boxes(here, box[None], _RED)
    else:
        joints = persons['joints2d'][prediction][FROM_144]
        draw_skeleton(here, (joints - corner) * scale, 'smplx_137')
    return np.concatenate((there, here), axis=1)


def _window(
    boxes: np.ndarray, shape: Sequence[int]
) -> tuple[int, int, int, int]:
    """Window around all boxes with a margin, inside the image."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = MARGIN * (high - low).max()
    limit = np.array((shape[1], shape[0]))
    low = np.floor(low - margin).clip(0, limit - 1).astype(int)
    high = np.ceil(high + margin).clip(low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def make_sheet(images: list[np.ndarray], captions: list[str]) -> np.ndarray:
    """Cells as wide as the widest image."""
    width = max(image.shape[1] for image in images)
    columns = max(1, round((1.6 * len(images) * HEIGHT / width) ** 0.5))
    return contact_sheet(images, columns, (HEIGHT, width), captions)


def run(args: argparse.Namespace) -> int:
    """Write the sheet; returns how many persons are on it."""
    dataset = build_dataset(args)
    records = dumped_records(args.predictions, NEEDED)
    errors = compare_joints(
        dataset, records, args.score_thr, args.iou_thr, args.align
    )
    cases = worst_persons(errors, args.part, args.number)
    if not cases:
        raise ValueError(
            f'no person has an error of --part {args.part} ({errors.counts})'
        )
    record_of = RecordFinder(records)
    images, captions = [], []
    for case in cases:
        info = dataset.get_data_info(case['image'])
        case['img_path'] = info['img_path']
        persons = record_of(info)['pred_instances']
        images.append(draw_case(case, info, persons))
        caption = f'{Path(info["img_path"]).stem} #{case["person"]}'
        if 'error' in case:
            caption += f'  {case["error"]:.0f} mm  {case["score"]:.2f}'
        captions.append(caption)
    sheet = make_sheet(images, captions)
    write_image(sheet, args.out / OUTPUTS[1], overwrite=args.overwrite)
    content = {'part': args.part, 'unit': 'mm', 'persons': cases}
    write_record(args.out / OUTPUTS[0], content, args.overwrite)
    return len(cases)


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    add_common_options(parser)
    parser.add_argument(
        '--part',
        choices=['all', *PARTS, 'missed'],
        default='all',
        help='part by whose error persons are sorted, or persons without '
        'detection (default: all)',
    )
    parser.add_argument('-n', '--number', type=number(int, 1), default=16)
    args = parser.parse_args(argv)
    check_outputs(args, OUTPUTS)
    count = run(args)
    print(f'{count} persons: {args.out / OUTPUTS[1]}')


if __name__ == '__main__':
    main()
