# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on COCO-WholeBody (validation).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/coco_wholebody.py',
]

test_dataloader = dict(dataset={{_base_.coco_wholebody_val}})
test_evaluator = dict(
    type='CocoWholeBodyMetric',
    ann_file='{{$AIOS_DATA:data}}/datasets/coco_2017/annotations/'
    'coco_wholebody_val_v1.0.json',
)
