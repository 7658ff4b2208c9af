# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Mesh errors of the published model on AGORA (validation).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50.py',
    '../_base_/evaluation.py',
    '../_base_/datasets/agora.py',
]

test_dataloader = dict(dataset={{_base_.agora_val}})
test_evaluator = [
    {{_base_.agora_mesh_evaluator}},
    # protocol of the paper's ablations
    dict(
        type='SMPLXMeshMetric', match='one_per_image', prefix='AGORA-mesh-top1'
    ),
]
