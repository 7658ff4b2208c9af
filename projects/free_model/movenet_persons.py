# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Detect persons with MoveNet MultiPose: boxes and 17 keypoints.

This is the first step towards pseudo ground truth of photographs. The second
one, ``mediapipe_persons.py``, verifies the persons independently::

    python tools/model_converters/movenet_to_mm.py package all.safetensors \
        --all-heads
    python projects/free_model/movenet_persons.py all.safetensors photos \
        persons.json

Images in a folder named ``empty`` have no persons; MoveNet is not applied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from aios.apis.images import read_image
from aios.models import MoveNet
from aios.models.backbones.movenet import HeatMapHead
from aios.models.checkpoints import check_state_dict, read_checkpoint
from aios.structures.boxes import box_iou
from aios.utils.command_line import errors_in_one_line, make_parser
from aios.utils.folders import visible_paths
from aios.utils.safe_io import atomic_write

STRIDE = 4
# Sizes at which an image is processed, see find_persons.
LONG_SIDES = (256, 512, 768)
MIN_KEYPOINT_SCORE = 0.127  # of keypoints that contribute to a person's score
MIN_SCORE = 0.05  # lower scores are discarded


class Person(NamedTuple):
    """One person, in pixels."""

    score: float
    bbox: np.ndarray  # (4,) x1 y1 x2 y2
    keypoints: np.ndarray  # (17, 3) x, y, score; COCO's order


class MoveNetMultiPose(MoveNet):
    """MoveNet with all its heads, frozen.

    Args:
        checkpoint: Of ``movenet_to_mm.py --all-heads``.
    """

    def __init__(self, checkpoint: Path | None = None) -> None:
        super().__init__(pose_maps=True)
        for name in ('box_scale', 'box_offset'):
            self.heads[name] = HeatMapHead(2)
        self.requires_grad_(False)
        if checkpoint:
            weights = read_checkpoint(checkpoint)['state_dict']
            check_state_dict(self, weights)
            self.load_state_dict(weights, strict=True)

    def head_maps(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of all heads, ``(B, channels, H / 4, W / 4)``.

        Args:
            x: ``(B, 3, H, W)`` RGB of -1..1, sides multiples of 32.
        """
        _, levels = self.extract(x)
        return {name: head(levels[0]) for name, head in self.heads.items()}


def decode(maps: Mapping[str, Tensor], max_persons: int = 20) -> list[Person]:
    """Decode persons from the maps of the heads, as in the published graph.

    Args:
        maps: Of one image, ``(channels, h, w)``.
        max_persons: Number of peaks in the map of centers to decode.

    Returns:
        Persons in pixels of the input, by descending probability.
    """
    centers = maps['center'][0].sigmoid()
    highest = F.max_pool2d(centers[None], 5, 1, 2)[0]
    peaks = centers * (highest - centers < 1e-6)
    probabilities, places = peaks.flatten().topk(max_persons)
    persons = []
    for probability, place in zip(probabilities, places, strict=True):
        y, x = divmod(int(place), peaks.shape[1])
        bbox, keypoints = _decode_person(maps, y, x)
        seen = keypoints[:, 2][keypoints[:, 2] > MIN_KEYPOINT_SCORE]
        score = float(probability) * seen.sum() / max(len(seen), 1)
        persons.append(Person(score, bbox, keypoints))
    return persons


def _decode_person(
    maps: Mapping[str, Tensor], y: int, x: int
) -> tuple[np.ndarray, np.ndarray]:
    """Box and keypoints of the person with a center."""
    size = torch.tensor(maps['center'].shape[-2:])
    center = torch.tensor([y, x])
    middle = center + maps['box_offset'][:, y, x]
    extent = maps['box_scale'][:, y, x].clamp(min=0)
    low = (middle - extent / 2).clamp(min=0).minimum(size)
    high = (middle + extent / 2).clamp(min=0).minimum(size)
    expected = center + maps['kpt_regress'][:, y, x].reshape(17, 2)
    keypoints = _nearby_peaks(maps, expected, low, high)
    bbox = torch.cat([low.flip(0), high.flip(0)]) * STRIDE
    return bbox.numpy(), keypoints


def _nearby_peaks(
    maps: Mapping[str, Tensor], expected: Tensor, low: Tensor, high: Tensor
) -> np.ndarray:
    """Best position in the box for each keypoint, near the expected one."""
    heat = maps['kpt_heatmap'].sigmoid()
    height, width = heat.shape[1:]
    grid = torch.stack(
        torch.meshgrid(
            torch.arange(height), torch.arange(width), indexing='ij'
        ),
        -1,
    )
    distance = (grid - expected[:, None, None]).square().sum(-1)
    nearness = torch.exp(-distance / (0.3 * min(height, width)))
    inside = ((grid >= low) & (grid < high)).all(-1)
    scores, places = (heat * nearness * inside).flatten(1).max(1)
    rows, columns = places // width, places % width
    offsets = maps['kpt_offset'].reshape(17, 2, height, width)
    offsets = offsets[torch.arange(17), :, rows, columns]
    points = (torch.stack([rows, columns], 1) + offsets) * STRIDE
    return torch.cat([points.flip(1), scores[:, None]], 1).numpy()


@torch.inference_mode()
def find_persons(
    model: MoveNetMultiPose, image: np.ndarray, min_score: float = 0.2
) -> list[Person]:
    """Find persons at several sizes of an image.

    Close-ups are only detected in small images, small persons in large ones.

    Args:
        model: MoveNet.
        image: ``(H, W, 3)`` BGR, uint8.
        min_score: Lowest score of a person.

    Returns:
        Persons in pixels of the image, by descending score.
    """
    found: list[Person] = []
    for long_side in LONG_SIDES:
        scale = long_side / max(image.shape[:2])
        small = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        maps = model.head_maps(to_input(small))
        maps = {name: value[0].double() for name, value in maps.items()}
        for person in decode(maps):
            if person.score >= min_score:
                person.keypoints[:, :2] /= scale
                found.append(person._replace(bbox=person.bbox / scale))
    return _suppress_overlaps(found)


def _suppress_overlaps(persons: list[Person]) -> list[Person]:
    """Non-maximum suppression."""
    boxes = torch.from_numpy(np.array([person.bbox for person in persons]))
    kept: list[int] = []
    for i in np.argsort([-person.score for person in persons]):
        if not kept or (box_iou(boxes[i], boxes[kept]) < 0.5).all():
            kept.append(i)
    return [persons[i] for i in kept]


def to_input(image: np.ndarray) -> Tensor:
    """Input of MoveNet for ``(H, W, 3)`` BGR, padded with black."""
    height, width = image.shape[:2]
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None]
    pads = (0, -width % 32, 0, -height % 32)
    return F.pad(rgb / 127.5 - 1, pads, value=-1.0)


def describe(
    model: MoveNetMultiPose, path: Path, root: Path
) -> dict[str, object]:
    """JSON entry of an image.

    Args:
        model: MoveNet.
        path: The image.
        root: Folder that its name is relative to.
    """
    image, _ = read_image(path)
    persons: list[Person] = []
    if path.parent.name != 'empty':
        persons = find_persons(model, image, MIN_SCORE)
    return dict(
        file=Path(os.path.relpath(path, root)).as_posix(),
        size=[image.shape[1], image.shape[0]],
        persons=[
            dict(
                score=round(float(person.score), 4),
                bbox=person.bbox.round(2).tolist(),
                keypoints=person.keypoints.round(3).tolist(),
            )
            for person in persons
        ],
    )


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = make_parser(__doc__)
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('photos', type=Path, help='folder of PNG files')
    parser.add_argument('out', type=Path, help='JSON file to write')
    args = parser.parse_args(argv)
    if args.out.exists():
        parser.error(f'{args.out}: must be a new file')
    paths = visible_paths(args.photos, '**/*.png')
    if not paths:
        raise FileNotFoundError(f'{args.photos}: contains no PNG files')
    model = MoveNetMultiPose(args.checkpoint).eval()
    root = args.out.parent
    images = [describe(model, path, root) for path in paths]
    with atomic_write(args.out) as stream:
        stream.write(json.dumps(dict(images=images), indent=1).encode())
    count = sum(len(image['persons']) for image in images)
    print(f'{args.out}: {len(images)} images, {count} candidates')


if __name__ == '__main__':
    main()
