# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on RICH (test split).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/rich.py',
]

test_dataloader = dict(dataset={{_base_.rich_test}})
test_evaluator = {{_base_.rich_evaluator}}
