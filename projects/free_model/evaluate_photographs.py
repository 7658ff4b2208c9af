# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluate a model on real photographs against MoveNet and MediaPipe.

The photographs have no ground truth. Persons on whose pose both networks
agree serve as pseudo ground truth, with MediaPipe's 2-D and 3-D joints::

    cd projects/free_model
    python fetch_photographs.py work/photos
    python movenet_persons.py all.safetensors work/photos work/persons.json
    judge/bin/python mediapipe_persons.py work/persons.json work/judge.json
    python evaluate_photographs.py work/judge.json CONFIG CHECKPOINT
    python evaluate_photographs.py work/judge.json aios_s.onnx --runtime onnx

The scripts describe how to create their inputs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from photograph_scores import (
    JOINTS,
    Matches,
    match_persons,
    summarize,
    visible_joints,
)

from aios.apis import AiOSInferencer, OnnxInferencer
from aios.apis.cli import add_runtime_options, runtime_options
from aios.results import FrameResult
from aios.structures.joint_names import SMPLX_144_NAMES
from aios.utils.command_line import (
    add_json_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.safe_io import named_errors

# COCO's 17 keypoints start with the head and continue in the order of JOINTS.
COCO_JOINTS = slice(5, 17)
SMPLX_JOINTS = [SMPLX_144_NAMES.index(name) for name in JOINTS]
BARS = (
    ('found', 'persons found', '≥', 0.85),
    ('false-per-image', 'false persons an image', '≤', 0.1),
    ('doubles', 'persons found twice', '≤', 0.0),
    ('PCK', 'joints within 0.2 torso', '≥', 0.60),
    ('gain-3d', '3-D gain on the mean pose', '≥', 0.35),
)


def compare(
    image: dict[str, Any], result: FrameResult
) -> tuple[Matches, dict[str, np.ndarray]]:
    """Match the persons of one image, and collect joints of the matches.

    Args:
        image: Entry of the file of ``mediapipe_persons.py``.
        result: Result of the model.
    """
    predicted, persons = result.instances, image['persons']
    boxes = np.array([p['bbox'] for p in persons]).reshape(-1, 4)
    doubtful = np.array(image['doubtful']).reshape(-1, 4)
    matches = match_persons(
        predicted['scores'], predicted['bboxes'], boxes, doubtful
    )
    rows, person_rows = matches.pairs[:, 0], matches.pairs[:, 1]
    keypoints = np.array([p['keypoints'] for p in persons]).reshape(-1, 17, 3)
    joints3d = np.array([p['joints3d'] for p in persons]).reshape(-1, 17, 3)
    keypoints = keypoints[person_rows][:, COCO_JOINTS]
    return matches, dict(
        predicted_2d=predicted['joints2d'][rows][:, SMPLX_JOINTS],
        true_2d=keypoints[..., :2],
        visible=visible_joints(keypoints, image['size']),
        predicted_3d=predicted['joints3d'][rows][:, SMPLX_JOINTS],
        true_3d=joints3d[person_rows][:, COCO_JOINTS],
    )


def make_inferencer(
    args: argparse.Namespace,
) -> AiOSInferencer | OnnxInferencer:
    """The evaluated model."""
    common: dict[str, Any] = dict(
        score_thr=args.score_thr, show_progress=False
    )
    if runtime := runtime_options(args):
        common.update(runtime)
        return OnnxInferencer(args.model, args.device, **common)
    return AiOSInferencer(args.model, args.weights, args.device, **common)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'judge', type=Path, help='output file of mediapipe_persons.py'
    )
    parser.add_argument(
        'model',
        nargs='?',
        help='config file or model name; with --runtime an exported file',
    )
    parser.add_argument('weights', nargs='?', help='checkpoint')
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--device', default='cpu')
    add_runtime_options(parser)
    add_json_option(parser)
    args = parser.parse_args(argv)
    with named_errors(args.judge):
        images = json.loads(args.judge.read_text())['images']
    inferencer = make_inferencer(args)
    paths = [str(args.judge.parent / image['file']) for image in images]
    results = inferencer.stream(paths)
    compared = [
        compare(image, result)
        for image, result in zip(images, results, strict=True)
    ]
    for image, (matches, _) in zip(images, compared, strict=True):
        print(
            f'{image["file"]:40s} {len(matches.pairs)} of '
            f'{len(image["persons"])} detected, {matches.false} false '
            f'positives, {matches.doubles} duplicates'
        )
    found = {
        name: np.concatenate([joints[name] for _, joints in compared])
        for name in compared[0][1]
    }
    numbers = summarize(
        [matches for matches, _ in compared],
        sum(len(image['persons']) for image in images),
        found,
    )
    print('\n'.join(table(numbers)))
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1))


def table(numbers: dict[str, float]) -> list[str]:
    """Lines of a Markdown table of the numbers and their targets."""
    lines = ['', '| what | bar | measured | |', '|---|---|---|---|']
    for name, text, sign, bar in BARS:
        value = numbers.get(name, float('nan'))
        is_met = value >= bar if sign == '≥' else value <= bar
        verdict = '' if is_met else 'not met'
        lines.append(f'| {text} | {sign} {bar} | {value:.3f} | {verdict} |')
    details = ', '.join(
        f'{name} {value:.4g}' for name, value in numbers.items()
    )
    return [*lines, '', details]


if __name__ == '__main__':
    main()
