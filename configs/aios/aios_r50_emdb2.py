# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on EMDB 2, errors in world coordinates with the recorded
# camera.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/emdb.py',
]

test_dataloader = dict(dataset={{_base_.emdb2_test}})
test_evaluator = dict(type='EMDBWorldMetric')
