# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pipelines of transforms whose labels follow the image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dataset import Compose

from aios.registry import TRANSFORMS

from .transforms.following import follow_image

# Label fields of MMDetection's transforms.
_OTHER_FIELD = re.compile(r'gt_(bboxes|masks|seg_map|keypoints)\b')


def build_pipeline(steps: Sequence[Any]) -> list[Any]:
    """Build transforms; those of this project take precedence in any scope.

    Args:
        steps: Transforms, or their configs.
    """
    return [
        TRANSFORMS.build(dict(step)) if isinstance(step, Mapping) else step
        for step in steps
    ]


class LabelPipeline(Compose):
    """Sequence of transforms in which labels follow the image.

    Args:
        transforms: Transforms, or their configs.
    """

    def __call__(self, data: dict) -> dict | None:
        """Apply all transforms.

        Args:
            data: The record of an image.

        Returns:
            The last result; ``None`` as soon as a transform returns it.

        Raises:
            ValueError: If a transform moves the image in a way that labels
                cannot follow, or needs labels of mmdet's format; the message
                names it.
        """
        for index, transform in enumerate(self.transforms):
            step = f'{type(transform).__name__} (step {index} of the pipeline)'
            try:
                result = transform(data)
            except (KeyError, AssertionError) as error:
                if (field := _OTHER_FIELD.search(str(error))) is None:
                    raise
                raise ValueError(_other_labels(step, field[0])) from error
            if result is None:
                return None
            data = result
            if 'gt_bboxes' in data:
                raise ValueError(_other_labels(step, 'gt_bboxes'))
            follow_image(data, step)
        return data


def _other_labels(step: str, field: str) -> str:
    return (
        f'{step} works on {field}, a label field of MMDetection; '
        'LoadHumanAnnotations loads person labels into gt_persons '
        '(see docs/en/human_data.md#transforms)'
    )
