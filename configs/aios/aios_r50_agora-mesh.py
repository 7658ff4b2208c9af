# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The published model on AGORA, validation, measured on meshes.
_base_ = ['./aios_r50_agora-val.py']

test_evaluator = [
    dict(type='AGORAMeshMetric'),
    # the protocol of the paper's ablations
    dict(
        type='AGORAMeshMetric', match='one_per_image', prefix='AGORA-mesh-top1'
    ),
]
