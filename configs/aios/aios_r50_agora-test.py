# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Submission of the published model to AGORA
# (docs/en/evaluation.md). The paper reports thresholds 0.5 and 0.3.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/agora.py',
]

test_dataloader = dict(dataset={{_base_.agora_test}})
test_evaluator = dict(
    type='AGORASubmission',
    out_dir='work_dirs/aios_r50_agora-test/submission',
    variant='params',
    score_thr=0.5,
)
