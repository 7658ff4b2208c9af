# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EMDB (ICCV 2023), EMDB 1 and EMDB 2: https://emdb.ait.ethz.ch
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
emdb1_test = dict(
    type='EMDBDataset',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/EMDB'),
    ann_file='preprocessed_npz/multihuman_data/emdb_emdb1.npz',
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
emdb2_test = dict(
    emdb1_test,
    ann_file='preprocessed_npz/multihuman_data/emdb_emdb2.npz',
)
# As in EMDB's evaluation tool: SMPL's 24 joints, aligned at the hip center.
# Joints are regressed from both meshes; the tool uses skeleton joints.
emdb1_evaluator = dict(type='SMPLMetric', prefix='EMDB')
