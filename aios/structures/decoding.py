# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options for selecting the persons that a network returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from .boxes import ArrayT, box_iou, cxcywh_to_xyxy
from .keypoint_similarity import head_distances, pairwise_oks
from .sample import PERSON_LABEL

_NUMBERS = (
    *('max_per_img', 'score_thr', 'keypoint_fit_steps'),
    *('nms_iou_thr', 'nms_oks_thr', 'nms_head_thr'),
)


@dataclass(frozen=True)
class PyramidLevel:
    """A scale of the test-time image pyramid and its valid person sizes.

    Detectors work best at the sizes they were trained for (SNIP,
    https://arxiv.org/abs/1711.08189).  The size of a person is the square
    root of the area of its box, in pixels of the resized image.

    Args:
        scale: Relative to the image size of the test pipeline.
        min_size: Smaller persons are left to other levels.
        max_size: Larger persons are left to other levels.
        tiles: Number of overlapping tiles per side (:mod:`.tiles`) that the
            image is cut into; persons at their borders are left to other
            tiles and levels.

    Raises:
        ValueError: If a value is out of range.
    """

    scale: float = 1.0
    min_size: float = 0.0
    max_size: float = math.inf
    tiles: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(
                'scale of a level of test_cfg.pyramid must be in (0, 1], '
                f'got {self.scale}'
            )
        if self.min_size < 0:
            raise ValueError(
                'min_size of a level of test_cfg.pyramid must not be '
                f'negative, got {self.min_size}'
            )
        if not self.max_size > self.min_size:
            raise ValueError(
                'max_size of a level of test_cfg.pyramid must be larger '
                f'than min_size {self.min_size}, got {self.max_size}'
            )

        if self.tiles < 1:
            raise ValueError(
                'tiles of a level of test_cfg.pyramid must be positive, got '
                f'{self.tiles}'
            )

    @staticmethod
    def read(level: PyramidLevel | Mapping[str, Any] | float) -> PyramidLevel:
        """Read a level of a config; a number is its scale."""
        if isinstance(level, PyramidLevel):
            return level
        if isinstance(level, Mapping):
            return PyramidLevel(**level)
        return PyramidLevel(scale=level)


def sizes_fit(
    levels: ArrayT,
    areas: ArrayT,
    pyramid: Sequence[PyramidLevel],
) -> ArrayT:
    """Whether the sizes of candidates are valid at their level.

    Args:
        levels: ``(..., P)`` int64 index of the level of each candidate.
        areas: ``(..., P)`` box areas, square pixels of the image at scale 1.
        pyramid: The levels.

    Returns:
        ``(..., P)`` bool.
    """
    fits: Any = levels < 0
    for index, level in enumerate(pyramid):
        size = areas**0.5 * level.scale
        in_range = (size >= level.min_size) & (size <= level.max_size)
        fits = fits | ((levels == index) & in_range)
    result: ArrayT = fits
    return result


@dataclass(frozen=True)
class DecodingConfig:
    """The ``test_cfg`` of a model.

    Args:
        max_per_img: Largest number of persons returned.
        score_thr: Minimum score of the persons returned.
        nms_iou_thr: Suppress persons whose box overlaps that of a better one
            by more than this; negative for no suppression, as published.
        nms_oks_thr: Suppress persons whose keypoints are more similar than
            this to those of a better one, see
            :func:`aios.structures.keypoint_similarity.pairwise_oks`;
            negative for no suppression, as published.
        nms_head_thr: Suppress persons whose head is closer than this to that
            of a better one, see
            :func:`aios.structures.keypoint_similarity.head_distances`;
            negative for no suppression, as published.
        person_class_only: Rank candidates by the score of the class person.
            The published code ranks all pairs of candidate and class, so a
            person may be returned twice.
        max_candidates: Number of candidates kept after the first decoder
            stage, fewer than the decoder's ``num_persons``; ``None`` for all.
            Saves time; results change slightly, because candidates attend to
            each other.
        with_vertices: Return meshes.
        keypoint_fit_steps: Number of steps of
            :func:`aios.body_models.fit_to_keypoints`; 0, as published, for
            none.
        person_label: Label of persons in results: 1, as published, or 0 for
            metrics that count from zero, such as ``mmdet.CocoMetric``; class
            0 of the network is then left out.  The metrics of this project
            accept both.
        pyramid: Levels of the image pyramid, each as :class:`PyramidLevel`,
            its arguments or its scale; candidates of all levels are ranked
            together.

    Raises:
        TypeError: If a key is unknown.
        ValueError: If a value is out of range.
    """

    max_per_img: int = 50
    score_thr: float = 0.0
    nms_iou_thr: float = -1.0
    nms_oks_thr: float = -1.0
    nms_head_thr: float = -1.0
    person_class_only: bool = False
    max_candidates: int | None = None
    with_vertices: bool = True
    keypoint_fit_steps: int = 0
    person_label: int = PERSON_LABEL
    pyramid: Sequence[PyramidLevel] = (PyramidLevel(),)

    def __post_init__(self) -> None:
        pyramid = tuple(PyramidLevel.read(x) for x in self.pyramid)
        if not pyramid:
            raise ValueError('test_cfg.pyramid must have at least one level')
        object.__setattr__(self, 'pyramid', pyramid)
        if self.person_label not in (0, PERSON_LABEL):
            raise ValueError(
                f'test_cfg.person_label must be 0 or {PERSON_LABEL}, got '
                f'{self.person_label}'
            )
        for name in _NUMBERS:
            value = getattr(self, name)
            if not isinstance(value, Real):
                raise ValueError(
                    f'test_cfg.{name} must be a number, got {value!r}'
                )
        for name in ('max_per_img', 'max_candidates'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(
                    f'test_cfg.{name} must be positive, got {value}'
                )
        if self.keypoint_fit_steps < 0:
            raise ValueError(
                'test_cfg.keypoint_fit_steps must not be negative, got '
                f'{self.keypoint_fit_steps}'
            )

    @property
    def suppresses(self) -> bool:
        """Whether duplicate persons are suppressed."""
        thresholds = self.nms_iou_thr, self.nms_oks_thr, self.nms_head_thr
        return max(thresholds) >= 0

    @classmethod
    def read(cls, test_cfg: Mapping[str, Any] | None) -> DecodingConfig:
        """Read a ``test_cfg``, which may be ``None``."""
        return cls(**(test_cfg or {}))


def are_copies(
    boxes: ArrayT, keypoints: ArrayT | None, config: DecodingConfig
) -> ArrayT:
    """Whether pairs of persons in an image are duplicates of each other.

    Args:
        boxes: ``(..., n, 4)`` cxcywh in any unit.
        keypoints: ``(..., n, 17, 2)`` in the same unit, for ``nms_oks_thr``
            and ``nms_head_thr``.
        config: Provides the thresholds.

    Returns:
        ``(..., n, n)`` bool.
    """
    corners = cxcywh_to_xyxy(boxes)
    iou = box_iou(corners[..., :, None, :], corners[..., None, :, :])
    limit = config.nms_iou_thr if config.nms_iou_thr >= 0 else 1
    copies: Any = iou > limit
    if keypoints is not None and config.nms_oks_thr >= 0:
        areas = boxes[..., 2] * boxes[..., 3]
        copies = copies | (pairwise_oks(keypoints, areas) > config.nms_oks_thr)
    if keypoints is not None and config.nms_head_thr >= 0:
        copies = copies | (head_distances(keypoints) < config.nms_head_thr)
    result: ArrayT = copies
    return result
