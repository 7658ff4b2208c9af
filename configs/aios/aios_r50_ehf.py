# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on EHF, which has no training set.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/ehf.py',
]

test_dataloader = dict(dataset={{_base_.ehf_test}})
test_evaluator = {{_base_.ehf_evaluator}}
