# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images are looked at in several sizes."""

from __future__ import annotations

import pytest
import torch
from gt_fields import image_sample
from mmengine.structures import InstanceData

from aios.models.detectors.image_pyramid import resize_images
from aios.structures.decoding import DecodingConfig

HALF = dict(scale=0.5)


@pytest.fixture
def model(make_tiny_model):
    torch.manual_seed(0)
    return make_tiny_model().eval()


def look(model, images: torch.Tensor, *levels: dict | float) -> InstanceData:
    """Persons in pixels of images of 96 x 128."""
    shape = tuple(images.shape[-2:])
    seen = image_sample(
        shape, ori_shape=(96, 128), scale_factor=(shape[1] / 128,) * 2
    )
    decoding = DecodingConfig(
        pyramid=levels, max_per_img=100, person_class_only=True
    )
    with torch.inference_mode():
        (result,) = model.predict(images, [seen], decoding=decoding)
    return result.pred_instances


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(1, 3, 96, 128)


def sizes(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1).sqrt()


def test_a_level_is_the_image_at_that_size(model, images):
    expected = look(model, resize_images(images, 0.5), {})
    found = look(model, images, HALF)
    for name in ('scores', 'bboxes', 'keypoints', 'joints3d'):
        torch.testing.assert_close(found[name], expected[name])
    # Cameras have the same focal length in pixels of other sizes.
    nearer = expected.smplx_transl * torch.tensor([1, 1, 0.5])
    torch.testing.assert_close(found.smplx_transl, nearer)


def test_persons_of_all_levels_are_ranked_together(model, images):
    full, half = look(model, images, {}), look(model, images, HALF)
    both = look(model, images, 1.0, HALF)
    assert len(both) == len(full) + len(half)
    assert (both.scores.diff() <= 0).all()
    torch.testing.assert_close(
        both.scores,
        torch.cat((full.scores, half.scores)).sort().values.flip(0),
    )


def test_small_persons_are_left_to_other_levels(model, images):
    half = look(model, images, HALF)
    limit = sizes(half.bboxes).sort().values[9:11].mean().item()
    found = look(model, images, dict(HALF, min_size=limit / 2), {})
    large = half[sizes(half.bboxes) >= limit]
    assert 0 < len(large) < len(half)
    full = look(model, images, {})
    expected = sorted([*full.scores, *large.scores], reverse=True)
    torch.testing.assert_close(found.scores, torch.stack(expected))


@pytest.mark.parametrize(
    ('name', 'kept'), [('min_size', torch.ge), ('max_size', torch.le)]
)
def test_one_level_has_a_limit_of_sizes(model, images, name, kept):
    full = look(model, images, 1.0)
    limit = sizes(full.bboxes).sort().values[9:11].mean().item()
    found = look(model, images, {name: limit})
    some = full[kept(sizes(full.bboxes), limit)]
    assert 0 < len(some) < len(full)
    torch.testing.assert_close(found.scores, some.scores)


def test_images_of_one_batch(model):
    """Padding is padding at all sizes."""
    images = torch.rand(2, 3, 96, 128)
    shapes = (96, 128), (80, 61)
    samples = [
        image_sample(shape, batch_input_shape=(96, 128)) for shape in shapes
    ]
    images[1, :, 80:] = 0
    images[1, :, :, 61:] = 0
    decoding = DecodingConfig(pyramid=[HALF], person_class_only=True)
    with torch.inference_mode():
        results = model.predict(images, samples, False, decoding)
    height, width = shapes[1]
    centers = results[1].pred_instances.bboxes.view(-1, 2, 2).mean(1)
    assert (centers <= torch.tensor([width, height])).all()


@pytest.mark.parametrize(
    ('pyramid', 'message'),
    [
        ([], 'must have at least one level'),
        ([dict(scale=2)], r'scale .* got 2'),
        ([dict(scale=0)], r'scale .* got 0'),
        ([dict(min_size=-1)], 'got -1'),
        ([dict(min_size=9, max_size=9)], 'larger than min_size 9, got 9'),
    ],
)
def test_levels_that_make_no_sense(pyramid, message):
    with pytest.raises(ValueError, match=message):
        DecodingConfig(pyramid=pyramid)
