# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmdet.structures import DetDataSample

from aios.registry import MODELS


@pytest.fixture
def preprocessor():
    return MODELS.build(
        dict(
            type='WholeBodyDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
        )
    )


def batch(*images):
    samples = []
    for image in images:
        sample = DetDataSample()
        sample.set_metainfo(
            dict(img_shape=tuple(image.shape[-2:]), img_path='a/b.png')
        )
        samples.append(sample)
    return dict(inputs=list(images), data_samples=samples)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_images_are_normalized_and_padded_with_zeros(
    preprocessor, dtype
) -> None:
    small = torch.full((3, 4, 6), 100, dtype=dtype)
    large = torch.full((3, 5, 7), 100, dtype=dtype)
    out = preprocessor(batch(small, large))
    assert out['inputs'].shape == (2, 3, 5, 7)
    assert (out['inputs'][0, :, 4:] == 0).all()
    # Blue comes first in, red first out.
    expected = (100 - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor(
        [58.395, 57.12, 57.375]
    )
    torch.testing.assert_close(out['inputs'][1, :, 0, 0], expected)
    assert out['data_samples'][0].batch_input_shape == (5, 7)


@pytest.mark.parametrize(
    'image',
    [
        torch.zeros(1, 8, 8),
        torch.zeros(4, 8, 8),
        torch.zeros(8, 8),
        torch.zeros(3, 0, 8),
    ],
    ids=['gray', 'transparent', 'flat', 'empty'],
)
def test_other_shapes_are_refused(preprocessor, image) -> None:
    good = torch.zeros(3, 8, 8)
    with pytest.raises(
        ValueError, match=r'inputs\[1\] \(a/b\.png\).*\(3, H, W\)'
    ):
        preprocessor(batch(good, image))


def test_sixteen_bits_are_refused(preprocessor) -> None:
    image = torch.zeros(3, 8, 8, dtype=torch.uint16)
    with pytest.raises(ValueError, match='uint8 or floating.*uint16'):
        preprocessor(batch(image))


def test_images_of_one_size_as_one_tensor(preprocessor) -> None:
    images = torch.rand(2, 3, 4, 6) * 255
    data = batch(*images)
    listed = preprocessor(dict(data))['inputs']
    stacked = preprocessor(data | dict(inputs=images))['inputs']
    assert torch.equal(listed, stacked)
    assert preprocessor.reverses_channels


def test_batches_may_be_padded_but_not_resized() -> None:
    """Keypoints and boxes of hands would stay where they were."""

    def build(**augment):
        config = dict(augment, type=f'mmdet.{augment["type"]}')
        return MODELS.build(
            dict(type='WholeBodyDataPreprocessor', batch_augments=[config])
        )

    build(type='BatchFixedSizePad', size=(64, 64))
    with pytest.raises(ValueError, match='BatchSyncRandomResize resizes'):
        build(type='BatchSyncRandomResize', random_size_range=(480, 800))
