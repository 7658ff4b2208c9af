# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The agreed fields of ``gt_instances``."""

from __future__ import annotations

from mmengine.structures import InstanceData

from aios.structures import GT_FIELDS


def check_gt_instances(instances: InstanceData) -> None:
    """All fields are there, of the agreed shape and type, and finite."""
    for name, field in GT_FIELDS.items():
        # HorizontalBoxes and the like keep their tensor inside.
        value = getattr(instances[name], 'tensor', instances[name])
        assert value.shape == (len(instances), *field.shape), name
        assert value.dtype == field.dtype, name
        assert value.isfinite().all(), name
