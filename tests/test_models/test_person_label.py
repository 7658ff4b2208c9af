# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Predictions whose labels count from zero, for metrics of MMDetection."""

from __future__ import annotations

import json

import pytest
import torch
from mmdet.evaluation import CocoMetric
from test_aios import images

from aios.datasets import HumanDataset
from aios.models.heads import DecodingConfig
from aios.results import predictions_of


@pytest.fixture
def predict(make_tiny_model):
    """The best person of an image as a sample, by label."""

    def run(label):
        model = make_tiny_model().eval()
        cfg = dict(max_per_img=1, person_class_only=True, person_label=label)
        model.test_cfg = model.bbox_head.test_cfg = cfg
        torch.manual_seed(0)
        batch, samples = images((64, 64))
        with torch.no_grad():
            (sample,) = model(batch, samples, mode='predict')
        sample.set_metainfo(dict(img_id=7))
        return sample.to_dict()

    return run


def coco_ap(path, sample):
    """AP of mmdet's metric where the prediction is the truth."""
    x, y, right, bottom = sample['pred_instances']['bboxes'][0].tolist()
    box = [x, y, right - x, bottom - y]
    person = dict(
        id=1, image_id=7, category_id=1, bbox=box, area=box[2] * box[3]
    )
    truth = dict(
        images=[dict(id=7, width=64, height=64, file_name='a.png')],
        categories=[dict(id=1, name='person')],
        annotations=[dict(person, iscrowd=0)],
    )
    path.write_text(json.dumps(truth))
    metric = CocoMetric(str(path), metric='bbox')
    metric.dataset_meta = HumanDataset.METAINFO
    metric.process({}, [sample])
    return metric.evaluate(1)['coco/bbox_mAP']


def test_metric_of_mmdet(predict, tmp_path) -> None:
    assert coco_ap(tmp_path / 'truth.json', predict(0)) == 1.0


def test_our_metrics_read_both(predict) -> None:
    (zero, one) = (predictions_of(predict(label)) for label in (0, 1))
    assert zero.keys() == one.keys()
    assert len(zero['scores']) == len(one['scores']) == 1
    assert zero['labels'].tolist() == [0] and one['labels'].tolist() == [1]


def test_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r'person_label must be 0 or 1'):
        DecodingConfig.read(dict(person_label=2))
