# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on EMDB 1, errors in camera coordinates.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/emdb.py',
]

test_dataloader = dict(dataset={{_base_.emdb1_test}})
test_evaluator = {{_base_.emdb1_evaluator}}
