# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.structures import InstanceData

from aios.structures import GT_FIELDS, check_gt_instances


def instances(count: int) -> InstanceData:
    return InstanceData(
        **{
            name: torch.zeros(count, *field.shape, dtype=field.dtype)
            for name, field in GT_FIELDS.items()
        }
    )


@pytest.mark.parametrize('count', [0, 1, 3])
def test_complete_instances_pass(count: int) -> None:
    check_gt_instances(instances(count))


def test_missing_field_is_named() -> None:
    data = instances(2)
    del data.smplx_pose
    with pytest.raises(ValueError, match=r"a\.jpg.*'smplx_pose' is missing"):
        check_gt_instances(data, 'a.jpg')


def test_wrong_type_is_named() -> None:
    data = instances(2)
    data.lhand_valid = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"'lhand_valid' must be .*float32"):
        check_gt_instances(data)


def test_wrong_shape_is_named() -> None:
    data = instances(2)
    data.keypoints = torch.zeros(2, 17, 2)
    with pytest.raises(ValueError, match=r"'keypoints'.*\(2, 137, 2\)"):
        check_gt_instances(data)


def test_nan_is_refused() -> None:
    data = instances(1)
    data.bboxes[0, 0] = torch.nan
    with pytest.raises(ValueError, match="'bboxes' is not finite"):
        check_gt_instances(data)
