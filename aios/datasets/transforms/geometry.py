# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Crop, resize and mirror an image together with its labels.

AiOS does all three in one affine warp.  Separate steps give the same labels
up to float rounding, and the same pixels except in the last row and column
of a crop.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness

from aios.registry import TRANSFORMS
from aios.utils.choices import check_choice
from aios.utils.resizing import (
    RESIZE_BACKENDS,
    keep_ratio_size,
    resize_image,
)

from .base import Transform
from .following import follow_image
from .label_geometry import crop_labels, flip_labels, rescale_labels

_MIN_CROP = 2
SHORT_SIZES = tuple(range(480, 801, 32))
"""Short sides of training (the DETR recipe)."""


@TRANSFORMS.register_module()
class WholeBodyResize(Transform):
    """Resize image and labels, keeping the aspect ratio.

    Labels use the exact factors of both axes, which differ by up to 0.3 %.

    Args:
        scale: Limits of the long and the short side.
        size_rounding: ``'floor'`` (as published: 1600 × 1200 becomes
            1066 × 800) or ``'round'`` (as mmdet: 1067 × 800).
        backend: ``'warp_affine'`` samples the pixel ``x / s``, without
            anti-aliasing, as the published weights expect.  NOTE: a label
            is at the center of its pixel, so the content is shifted against
            its labels by ``(s - 1) / 2`` pixels of the result.
            ``'resize'`` is OpenCV's faster resize, which is exact.
            ``'area'`` is the same for enlarging but averages when shrinking,
            which avoids aliasing of large photographs.
        enlarged_scale: Limits of images that are enlarged; default:
            ``scale``.  Larger images up to ``scale`` keep their size.
    """

    def __init__(
        self,
        scale: tuple[int, int] = (1333, 800),
        size_rounding: str = 'floor',
        backend: str = 'warp_affine',
        enlarged_scale: tuple[int, int] | None = None,
    ) -> None:
        check_choice('backend', backend, RESIZE_BACKENDS)
        self.scale = scale
        self.enlarged_scale = enlarged_scale
        self.size_rounding = size_rounding
        self.backend = backend
        keep_ratio_size((4, 3), (4, 3), size_rounding)  # validate it early

    def transform(self, results: dict) -> dict:
        """Resize ``img`` and the labels."""
        self._resize(results, self.scale)
        return results

    def _resize(self, results: dict, scale: tuple[int, int]) -> None:
        follow_image(results)
        height, width = results['img_shape']
        size = keep_ratio_size(
            (width, height), scale, self.size_rounding, self.enlarged_scale
        )
        if 'img' in results:
            results['img'] = resize_image(results['img'], size, self.backend)
        rescale_labels(results, size[::-1])


@TRANSFORMS.register_module()
class WholeBodyRandomResize(WholeBodyResize):
    """Resize to a random short side.

    mmcv's ``RandomChoiceResize(scales=..., resize_type='WholeBodyResize')``
    does the same.

    Args:
        short_sizes: Short sides to draw from.
        max_size: Limit of the long side.
        size_rounding: See :class:`WholeBodyResize`.
        backend: See :class:`WholeBodyResize`.
    """

    def __init__(
        self,
        short_sizes: Sequence[int] = SHORT_SIZES,
        max_size: int = 1333,
        size_rounding: str = 'floor',
        backend: str = 'warp_affine',
    ) -> None:
        super().__init__((max_size, max(short_sizes)), size_rounding, backend)
        self.short_sizes = tuple(short_sizes)
        self.max_size = max_size

    @cache_randomness
    def _draw(self) -> int:
        return random.choice(self.short_sizes)

    def transform(self, results: dict) -> dict:
        """Resize ``img`` and the labels."""
        self._resize(results, (self.max_size, self._draw()))
        return results


@TRANSFORMS.register_module()
class PersonGroupCrop(Transform):
    """Crop to a random group of persons (AiOS' augmentation).

    With probability ``sample_prob`` some persons are chosen: with
    probability ``sample_ratio`` one (probability ``single_prob``) or a
    random number, otherwise all.  The crop is the union of their boxes,
    enlarged to the aspect ratio of the image and shifted inside it.  Labels
    of other persons are kept; :class:`FilterWholeBody` removes persons
    outside the image.

    Args:
        sample_prob: Probability of cropping.
        sample_ratio: Probability of choosing fewer than all persons.
        single_prob: Probability of choosing exactly one among these.
    """

    def __init__(
        self,
        sample_prob: float = 0.7,
        sample_ratio: float = 0.5,
        single_prob: float = 0.6,
    ) -> None:
        self.sample_prob = sample_prob
        self.sample_ratio = sample_ratio
        self.single_prob = single_prob

    @cache_randomness
    def _draw(self, count: int) -> list[int] | None:
        """Persons to crop to; None for the whole image."""
        if count == 0 or random.random() >= self.sample_prob:
            return None
        size = count
        if random.random() < self.sample_ratio:
            single = random.random() < self.single_prob
            size = 1 if single else random.randint(1, count)
        return random.sample(range(count), size)

    def transform(self, results: dict) -> dict:
        """Crop ``img`` and the labels."""
        follow_image(results)
        boxes = results['gt_persons']['bboxes']
        chosen = self._draw(len(boxes))
        if chosen is None:
            return results
        region = group_region(boxes[chosen], results['img_shape'])
        x0, y0, width, height = region
        if min(width, height) < _MIN_CROP:
            return results
        if 'img' in results:
            results['img'] = results['img'][y0 : y0 + height, x0 : x0 + width]
        crop_labels(results, region)
        return results


def group_region(
    boxes: np.ndarray, img_shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Region around boxes with the aspect ratio of the image.

    Args:
        boxes: ``(k, 4)`` xyxy pixels, inside the image.
        img_shape: ``(height, width)`` of the image.

    Returns:
        ``x0, y0, width, height`` in whole pixels, inside the image.
    """
    size = np.array(img_shape[::-1], float)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    center = (low + high) / 2.0
    width, height = (high - low).astype(float)
    aspect = size[0] / size[1]
    # Enlarge one side only.
    extent = np.maximum(
        (width, height), (height * aspect, width / aspect)
    ).clip(max=size)
    corner = np.clip(center - extent / 2, 0, size - extent)
    x0, y0 = corner.astype(int)
    width, height = extent.astype(int)
    return int(x0), int(y0), int(width), int(height)


@TRANSFORMS.register_module()
class WholeBodyFlip(Transform):
    """Mirror image and labels left to right.

    Labels go from ``x`` to ``w - x``, as in mmdet: a pixel covers
    ``[x, x + 1)``, and its column ``i`` becomes column ``w - 1 - i``.

    Args:
        prob: Probability of mirroring.
        published_shift: Shift the mirrored image, not the labels, by one
            pixel to the right, as in the published training; the first
            column becomes black.
    """

    def __init__(
        self, prob: float = 0.5, published_shift: bool = False
    ) -> None:
        self.prob = prob
        self.published_shift = published_shift

    @cache_randomness
    def _draw(self) -> bool:
        return random.random() < self.prob

    def transform(self, results: dict) -> dict:
        """Mirror ``img`` and the labels."""
        follow_image(results)
        if not self._draw():
            return results
        if 'img' in results:
            img = cv2.flip(results['img'], 1)
            if self.published_shift:
                img[:, 1:] = img[:, :-1].copy()
                img[:, :1] = 0
            results['img'] = img
        flip_labels(results)
        return results
