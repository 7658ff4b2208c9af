# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from network_oracle import Oracle, OracleNoise
from oracle_weights import fill
from test_person_attention import dense_mask

from aios.models.layers import DenoisingQueryGenerator
from aios.structures import TOKEN_LAYOUTS, cxcywh_to_xyxy

SIZE = 1024  # a power of two: pixels do not round the oracle's fractions


def samples_with(boxes: list[torch.Tensor]) -> list[DetDataSample]:
    """Samples with persons in boxes, given as fractions, cxcywh."""
    samples = []
    for fractions in boxes:
        sample = DetDataSample(metainfo=dict(img_shape=(SIZE, SIZE)))
        sample.gt_instances = InstanceData(
            bboxes=cxcywh_to_xyxy(fractions) * SIZE,
            labels=torch.ones(len(fractions), dtype=torch.int64),
        )
        samples.append(sample)
    return samples


@pytest.fixture(scope='module')
def oracle(data_dir) -> Oracle:
    return Oracle(data_dir / 'oracle/comp_denoising.npz')


@pytest.mark.parametrize('case', ['T3', 'T0'])
def test_original(case, oracle, monkeypatch) -> None:
    """3 and 1 persons (T3), 2 and none (T0)."""
    generator = DenoisingQueryGenerator(num_queries=10)
    weight = torch.from_numpy(fill('label_enc.weight', (101, 256)))
    generator.label_embedding.load_state_dict({'weight': weight})
    noise = OracleNoise(oracle, f'{case}/')
    monkeypatch.setattr(
        generator, 'draw_noise', lambda counts: noise(generator, counts)
    )
    boxes = [torch.from_numpy(oracle[f'{case}/gt_boxes/{i}']) for i in (0, 1)]
    queries = generator(samples_with(boxes))
    for ours, name in (
        (queries.target_labels, 'known_labels'),
        (queries.target_boxes, 'known_bboxs'),
        (queries.content.detach(), 'query_label'),
        (queries.boxes.logit(), 'query_bbox'),
    ):
        assert oracle.difference(f'{case}/{name}', ours) < 1e-4, name
    for layout, persons, name in (
        ('body_localization', 7, 'attn_mask'),
        ('body_refinement', 3, 'attn_mask2'),
        ('whole_body', 3, 'attn_mask3'),
    ):
        mask = dense_mask(TOKEN_LAYOUTS[layout], persons, queries.groups)
        # The original puts denoising queries first, we put them last.
        mask = mask.roll((10, 10), dims=(1, 2))
        assert oracle.difference(f'{case}/{name}', mask) == 0, name


@pytest.mark.parametrize('count', [0, 1, 3, 7, 20, 33])
def test_all_persons_is_there_equally_often(count) -> None:
    generator = DenoisingQueryGenerator(embed_dims=8, num_queries=20)
    boxes = torch.rand(count, 4) * 0.4 + 0.1
    queries = generator(samples_with([boxes]))
    assert queries.content.shape == (1, 20, 8)
    assert queries.boxes.shape == (1, 20, 4)
    assert queries.boxes.min() > 0 and queries.boxes.max() < 1
    if not count:
        assert (queries.target_labels == generator.num_classes).all()
        assert (queries.groups == 0).all()
        return
    assert (queries.target_labels == 1).all()
    whole_groups = 20 // count
    first = queries.target_boxes[0, : whole_groups * count]
    torch.testing.assert_close(first, boxes.repeat(whole_groups, 1))
    sizes = torch.bincount(queries.groups[0])
    assert (sizes[:whole_groups] == count).all()


def test_noise_is_bounded() -> None:
    """Centers move by less than a fifth of the box, sides by 40 percent."""
    generator = DenoisingQueryGenerator(embed_dims=8, num_queries=100)
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.3]])
    queries = generator(samples_with([boxes]))
    moved = (queries.boxes - boxes).abs() / boxes[:, [2, 3, 2, 3]]
    assert moved[..., :2].max() <= 0.2 + 1e-5
    assert moved[..., 2:].max() <= 0.4 + 1e-5
    assert moved.mean() > 0.05


def test_label_book_must_hold_the_classes() -> None:
    with pytest.raises(ValueError, match=r'num_classes \(3\), got 2'):
        DenoisingQueryGenerator(num_classes=3, num_labels=2)
