# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on AGORA (validation), official protocol
# (docs/en/evaluation.md).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/agora.py',
]

test_dataloader = dict(dataset={{_base_.agora_val}})
test_evaluator = [
    dict(
        type='AGORAMetric',
        # written by tools/dataset_converters/agora_ground_truth.py
        ground_truth='{{$AIOS_DATA:data}}/datasets/agora/validation.npz',
        score_thr=0.5,
    ),
    # for tools/eval_agora.py --sweep
    dict(
        type='AGORASubmission',
        out_dir='work_dirs/aios_r50_agora-val/submission',
        score_thr=0.05,
    ),
]
