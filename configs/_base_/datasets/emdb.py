# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# EMDB (ICCV 2023), its first and its second part: https://emdb.ait.ethz.ch
# All data lie in one folder (docs/en/datasets.md); another place: AIOS_DATA.
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
# As EMDB's own tool: SMPL's 24 joints, aligned between the hips. Joints are
# regressed from both meshes, where that tool takes those of the skeleton.
emdb1_evaluator = dict(type='SMPLMetric', prefix='EMDB')
