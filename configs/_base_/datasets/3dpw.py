# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# 3DPW (ECCV 2018), test split: https://virtualhumans.mpi-inf.mpg.de/3DPW
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
pw3d_test = dict(
    type='PW3DDataset',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/3DPW'),
    ann_file='preprocessed_npz/multihuman_data/3dpw_test.npz',
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# Protocol of SPIN (ICCV 2019) and later work: 14 LSP joints, aligned at the
# regressed pelvis. Other protocols align at the hip center (root='hips'), or
# use ground-truth boxes (match='gt_box').
pw3d_evaluator = dict(
    type='SMPLMetric', prefix='3DPW', joints='lsp_14', root='pelvis'
)
