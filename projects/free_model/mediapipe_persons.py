# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Verify MoveNet's persons with MediaPipe, which adds 3-D joints.

Persons on whose pose both networks agree are accepted; persons that only
MoveNet detects are doubtful. This script does not need the project itself::

    python3 -m venv judge
    judge/bin/pip install -r projects/free_model/requirements-judge.txt
    judge/bin/python projects/free_model/mediapipe_persons.py persons.json \
        judge.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# MediaPipe's landmarks of COCO's 17 keypoints.
COCO_17 = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
MARGIN = np.array([0.25, 0.15])  # relative to the width and height of a box
MIN_CROP = 384  # pixels; smaller crops are enlarged
MIN_PERSON_SCORE = 0.15  # MoveNet's
MIN_KEYPOINT_SCORE = 0.3  # MoveNet's
MIN_KEYPOINTS = 4
MIN_DOUBTFUL_KEYPOINTS = 8  # of a person with a lower score
MAX_DISTANCE = 0.2  # median over keypoints, relative to the side of the box
SAME_DISTANCE = 0.1  # likewise, for duplicates of a person
MAX_INSIDE = 0.8  # share of a doubtful box that is inside a person's


def crop_box(bbox: np.ndarray, width: int, height: int) -> tuple[int, ...]:
    """Enlarge a box by margins and clip it to the image, in whole pixels.

    Args:
        bbox: ``(4,)`` x1 y1 x2 y2, pixels.
        width: Of the image.
        height: Of the image.
    """
    low, high = bbox[:2], bbox[2:]
    margin = MARGIN * (high - low)
    corners = np.concatenate([low - margin, high + margin]).astype(int)
    return tuple(corners.clip(0, [width, height, width, height]).tolist())


def agree(
    movenet: np.ndarray,
    landmarks: np.ndarray,
    bbox: np.ndarray,
    max_distance: float = MAX_DISTANCE,
) -> bool:
    """Whether two detections have about the same pose.

    Args:
        movenet: ``(17, 3)`` x, y, score.
        landmarks: ``(17, 2)`` or more columns: x, y.
        bbox: ``(4,)`` MoveNet's box.
        max_distance: Median of the keypoints' distances, as a share of the
            side of the box.
    """
    side = np.sqrt(np.prod(bbox[2:] - bbox[:2]))
    seen = movenet[:, 2] > MIN_KEYPOINT_SCORE
    distances = np.linalg.norm(movenet[:, :2] - landmarks[:, :2], axis=1)
    return bool(
        seen.sum() >= MIN_KEYPOINTS
        and np.median(distances[seen]) <= max_distance * side
    )


def look(
    pose: Any, image: np.ndarray, bbox: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Detect MediaPipe's keypoints in a box.

    Args:
        pose: ``mediapipe.solutions.pose.Pose``.
        image: ``(H, W, 3)`` BGR.
        bbox: ``(4,)`` in pixels.

    Returns:
        ``(17, 3)`` x, y in pixels and visibility, and ``(17, 3)`` meters
        relative to the midpoint of the hips (x to the right, y down, z away
        from the camera); or None.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = crop_box(bbox, width, height)
    if min(x2 - x1, y2 - y1) < 2:
        return None
    crop = image[y1:y2, x1:x2]
    scale = max(1.0, MIN_CROP / max(crop.shape[:2]))
    crop = cv2.resize(
        crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
    )
    found = pose.process(np.ascontiguousarray(crop[..., ::-1]))
    if found.pose_landmarks is None:
        return None
    flat, world = found.pose_landmarks.landmark, found.pose_world_landmarks
    keypoints = [
        (x1 + p.x * (x2 - x1), y1 + p.y * (y2 - y1), p.visibility)
        for p in (flat[i] for i in COCO_17)
    ]
    joints = [(p.x, p.y, p.z) for p in (world.landmark[i] for i in COCO_17)]
    return np.array(keypoints), np.array(joints)


def share_inside(bbox: np.ndarray, others: np.ndarray) -> float:
    """Largest share of a box that is inside one of the others.

    Args:
        bbox: ``(4,)`` x1 y1 x2 y2.
        others: ``(n, 4)``.
    """
    if not len(others):
        return 0.0
    low = np.maximum(bbox[:2], others[:, :2])
    high = np.minimum(bbox[2:], others[:, 2:])
    common = (high - low).clip(min=0).prod(1)
    return float(common.max() / max(np.prod(bbox[2:] - bbox[:2]), 1e-6))


def judge_image(pose: Any, image: dict[str, Any], root: Path) -> dict:
    """Classify the candidates of an image as persons or doubtful."""
    # cv2.imread fails for other characters than ASCII on Windows.
    data = np.fromfile(root / image['file'], np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        sys.exit(f'error: {root / image["file"]}: cannot be read as an image')
    persons: list[dict[str, Any]] = []
    doubtful = []
    for candidate in image['persons']:
        bbox = np.array(candidate['bbox'])
        movenet = np.array(candidate['keypoints'])
        if any(
            agree(movenet, np.array(p['movenet']), bbox, SAME_DISTANCE)
            for p in persons
        ):
            continue
        if candidate['score'] < MIN_PERSON_SCORE:
            count = (movenet[:, 2] > MIN_KEYPOINT_SCORE).sum()
            if count >= MIN_DOUBTFUL_KEYPOINTS:
                doubtful.append(candidate['bbox'])
            continue
        seen = look(pose, pixels, bbox)
        if seen is None or not agree(movenet, seen[0], bbox):
            doubtful.append(candidate['bbox'])
            continue
        keypoints, joints = seen
        persons.append(
            dict(
                bbox=candidate['bbox'],
                keypoints=keypoints.round(3).tolist(),
                joints3d=joints.round(4).tolist(),
                movenet=candidate['keypoints'],
            )
        )
    boxes = np.array([person['bbox'] for person in persons]).reshape(-1, 4)
    return dict(
        file=image['file'],
        size=image['size'],
        persons=persons,
        doubtful=[
            bbox
            for bbox in doubtful
            if share_inside(np.array(bbox), boxes) < MAX_INSIDE
        ],
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    import mediapipe

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'persons', type=Path, help='output file of movenet_persons.py'
    )
    parser.add_argument(
        'out', type=Path, help='output JSON file, in the same folder'
    )
    args = parser.parse_args(argv)
    root = args.persons.parent
    if args.out.exists() or args.out.parent.resolve() != root.resolve():
        parser.error(
            f'{args.out}: must be a new file in the folder of {args.persons}'
        )
    pose = mediapipe.solutions.pose.Pose(
        static_image_mode=True,
        model_complexity=1,
        min_detection_confidence=0.4,
    )
    images = json.loads(args.persons.read_text())['images']
    judged = [judge_image(pose, image, root) for image in images]
    args.out.write_text(json.dumps(dict(images=judged), indent=1))
    persons, doubtful = (
        sum(len(image[name]) for image in judged)
        for name in ('persons', 'doubtful')
    )
    print(f'{args.out}: {persons} persons, {doubtful} doubtful')


if __name__ == '__main__':
    main()
