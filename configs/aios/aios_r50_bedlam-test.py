# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Submission of the published model to BEDLAM
# (docs/en/evaluation.md).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/bedlam.py',
]

test_dataloader = dict(dataset={{_base_.bedlam_test}})
test_evaluator = dict(
    type='BEDLAMSubmission',
    out_dir='work_dirs/aios_r50_bedlam-test/submission',
    score_thr=0.7,
)
