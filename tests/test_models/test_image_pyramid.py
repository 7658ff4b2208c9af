# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images are looked at in several sizes."""

from __future__ import annotations

from functools import partial

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


def look(
    model,
    images: torch.Tensor,
    *levels: dict | float,
    ori_shape: tuple[int, int] = (96, 128),
) -> InstanceData:
    """Persons in pixels of images of the original shape."""
    shape = tuple(images.shape[-2:])
    factor = shape[1] / ori_shape[1]
    seen = image_sample(
        shape, ori_shape=ori_shape, scale_factor=(factor, factor)
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


def test_a_tile_is_an_image_of_its_own(model, images):
    """Persons at its borders inside the image are left out."""
    found = look(model, images, dict(tiles=2))
    expected = []
    for top in (0, 41):  # 41 + 55 = 96
        for left in (0, 54):  # 54 + 74 = 128
            crop = images[..., top : top + 55, left : left + 74]
            tile = look(model, crop, {}, ori_shape=(55, 74))
            size, margin = tile.bboxes.new_tensor([74, 55]), 0.02
            first = tile.bboxes[:, :2] < size * margin
            last = tile.bboxes[:, 2:] > size * (1 - margin)
            inside = torch.tensor([left > 0, top > 0])
            cut = (first & inside) | (last & ~inside)
            for person in tile[~cut.any(1)]:
                corner = person.bboxes.new_tensor([left, top])
                expected.append((person, corner + size / 2, corner))
    expected.sort(key=lambda item: -item[0].scores.item())
    found = found[found.scores > 0]
    assert 0 < len(expected) == len(found)
    middle = found.bboxes.new_tensor([64, 48])
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=0.02)  # pixels
    for person, (other, center, corner) in zip(found, expected, strict=True):
        close(person.scores, other.scores, atol=1e-5)
        close(person.bboxes, other.bboxes + corner.repeat(2))
        close(person.keypoints, other.keypoints + corner)
        # The pelvis, at a focal length of 5000 pixels.
        x, y = (
            5000 * transl[:, :2] / transl[:, 2:] + origin
            for transl, origin in (
                (person.smplx_transl, middle),
                (other.smplx_transl, center),
            )
        )
        close(x, y)


def test_tiles_do_not_depend_on_the_batch(model):
    images = torch.rand(2, 3, 96, 128)
    small = images[1:, :, :80, :64].clone()
    samples = [
        image_sample(shape, batch_input_shape=(96, 128))
        for shape in ((96, 128), (80, 64))
    ]
    decoding = DecodingConfig(pyramid=[dict(tiles=2)], person_class_only=True)
    with torch.inference_mode():
        _, padded = model.predict(images, samples, False, decoding)
        alone = [image_sample((80, 64))]
        (expected,) = model.predict(small, alone, False, decoding)
    torch.testing.assert_close(
        padded.pred_instances.bboxes, expected.pred_instances.bboxes
    )


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
        ([dict(tiles=0)], 'tiles .* got 0'),
        ([dict(min_size=9, max_size=9)], 'larger than min_size 9, got 9'),
    ],
)
def test_levels_that_make_no_sense(pyramid, message):
    with pytest.raises(ValueError, match=message):
        DecodingConfig(pyramid=pyramid)
