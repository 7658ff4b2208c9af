# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which candidates of a network are returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .boxes import ArrayT
from .sample import PERSON_LABEL


@dataclass(frozen=True)
class PyramidLevel:
    """A size at which images are looked at, and which persons count there.

    Detectors are good at the sizes they were trained for (SNIP,
    https://arxiv.org/abs/1711.08189).  The size of a person is the square
    root of the area of its box, in pixels of the resized image.

    Args:
        scale: Of the image, relative to the test pipeline's.
        min_size: Smaller persons are left to other levels.
        max_size: Persons of this size and larger ones are left to other
            levels; ``None`` for no limit.

    Raises:
        ValueError: If a value makes no sense.
    """

    scale: float = 1.0
    min_size: float = 0.0
    max_size: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(
                'scale of a level of test_cfg.pyramid must be in 0..1 '
                f'without 0, got {self.scale}'
            )
        if not 0 <= self.min_size < (self.max_size or float('inf')):
            raise ValueError(
                'sizes of a level of test_cfg.pyramid must be 0 <= min_size '
                f'< max_size, got {self.min_size}, {self.max_size}'
            )


def sizes_fit(
    levels: ArrayT,
    areas: ArrayT,
    pyramid: Sequence[PyramidLevel],
) -> ArrayT:
    """Whether candidates have a size that counts at their level.

    Args:
        levels: ``(..., P)`` int64 index of the level that found each.
        areas: ``(..., P)`` of their boxes, in pixels of the image at scale 1.
        pyramid: The levels.

    Returns:
        ``(..., P)`` bool.
    """
    fits: Any = levels < 0
    for index, level in enumerate(pyramid):
        size = areas**0.5 * level.scale
        inside: Any = (levels == index) & (size >= level.min_size)
        if level.max_size is not None:
            inside = inside & (size < level.max_size)
        fits = fits | inside
    result: ArrayT = fits
    return result


@dataclass(frozen=True)
class DecodingConfig:
    """The ``test_cfg`` of a model.

    Args:
        max_per_img: Largest number of persons returned.
        score_thr: Persons with a lower score are left out.
        nms_iou_thr: Persons whose box overlaps that of a better one by more
            than this are left out; negative for no suppression, as
            published.
        person_class_only: Rank by the score of the class person.  As
            published, every pair of candidate and class is ranked, and a
            person could come out twice.
        max_candidates: Candidates that leave the first decoder stage, fewer
            than the decoder's ``num_persons``; ``None`` for all of them.
            Saves time; results change slightly, because candidates see each
            other.
        with_vertices: Return meshes.
        keypoint_fit_steps: Steps that bend the bodies to the keypoints, see
            :func:`aios.body_models.fit_to_keypoints`; 0, as published, for
            none.
        person_label: Label of persons in results: 1, as published, or 0 for
            metrics that count from zero, such as ``mmdet.CocoMetric``; class
            0 of the network is then left out.  The metrics of this project
            read both.
        pyramid: Sizes at which each image is looked at, as
            :class:`PyramidLevel` or its arguments; candidates of all of them
            are ranked together.

    Raises:
        TypeError: By Python, for an unknown key.
        ValueError: If a value makes no sense.
    """

    max_per_img: int = 50
    score_thr: float = 0.0
    nms_iou_thr: float = -1.0
    person_class_only: bool = False
    max_candidates: int | None = None
    with_vertices: bool = True
    keypoint_fit_steps: int = 0
    person_label: int = PERSON_LABEL
    pyramid: Sequence[PyramidLevel] = (PyramidLevel(),)

    def __post_init__(self) -> None:
        pyramid = tuple(
            x if isinstance(x, PyramidLevel) else PyramidLevel(**x)
            for x in self.pyramid
        )
        if not pyramid:
            raise ValueError('test_cfg.pyramid must have a level')
        object.__setattr__(self, 'pyramid', pyramid)
        if self.person_label not in (0, PERSON_LABEL):
            raise ValueError(
                f'test_cfg.person_label must be 0 or {PERSON_LABEL}, got '
                f'{self.person_label}'
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

    @classmethod
    def read(cls, test_cfg: Mapping[str, Any] | None) -> DecodingConfig:
        """Read a ``test_cfg``, which may be ``None``."""
        return cls(**(test_cfg or {}))
