# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures of many sizes become batches of a few shapes."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from torch._inductor.compile_fx import compile_fx

from aios.deploy import BucketedNetwork, DeployableNetwork, pad_to_bucket


def pictures(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *x, generator=generator) * 255 for x in sizes]


def test_shapes_are_rounded_up_and_pixels_stay():
    images = pictures((33, 64), (20, 65))
    batch, sizes = pad_to_bucket(images, step=32)
    assert batch.shape == (2, 3, 64, 96)
    assert sizes.tolist() == [[33, 64], [20, 65]]
    for row, image in zip(batch, images, strict=True):
        height, width = image.shape[1:]
        assert torch.equal(row[:, :height, :width], image)
        assert row.count_nonzero() == image.count_nonzero()


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (([],), 'no pictures'),
        ((pictures((4, 4)), 0), 'step must be positive'),
        (([torch.zeros(3, 4, 4), torch.zeros(4, 4)],), r'images\[1\]'),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error):
    with pytest.raises(ValueError, match=error):
        pad_to_bucket(*arguments)


def _just_run(graph, inputs):
    return graph.forward


@pytest.mark.slow
@pytest.mark.parametrize('compiler', [_just_run, compile_fx])
def test_one_compilation_for_a_bucket(make_tiny_model, compiler):
    """Results are those of the detector on the padded batch."""
    model = make_tiny_model().eval()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return compiler(graph, inputs)

    torch.compiler.reset()
    network = DeployableNetwork(model)
    bucketed = BucketedNetwork(network, step=64, backend=backend)
    for size, count in ((50, 60), 1), ((64, 33), 1), ((64, 70), 2):
        (image,) = pictures(size)
        outputs = bucketed([image])
        assert len(graphs) == count
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        model.data_preprocessor.pad_size_divisor = 64
        data = model.data_preprocessor(
            dict(inputs=[image], data_samples=[sample])
        )
        with torch.no_grad():
            expected = model(**data, mode='tensor').layers[-1].logits
        torch.testing.assert_close(outputs[0], expected, rtol=1e-3, atol=1e-4)
