# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on EHF, which has no training set.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/datasets/ehf.py',
]

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    # round_up would repeat pictures
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset={{_base_.ehf_test}},
)
test_evaluator = dict(type='WholeBodyMetric')
test_cfg = dict(type='TestLoop')
