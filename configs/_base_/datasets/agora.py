# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AGORA (CVPR 2021), synthetic, 5 to 15 persons per image:
# https://agora.is.tue.mpg.de (registration).
# Data folder: data/ (docs/en/datasets.md), or the one in AIOS_DATA.
# The dataset class in aios/datasets/benchmarks.py defines its label rules.
agora_train = dict(
    type='AGORADataset',
    dataset_name='agora',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/agora'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/agora_train.npz',
        'preprocessed_npz/multihuman_data/agora_train_3840_w_occ_multi_2010.npz',
    ],
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='PersonGroupCrop', sample_prob=0.7, sample_ratio=0.5),
        dict(type='WholeBodyRandomResize'),
        dict(type='WholeBodyFlip', prob=0.5),
        dict(type='ChannelGain', gain_range=(0.8, 1.2)),
        dict(type='FilterWholeBody'),
        dict(type='PackWholeBodyInputs'),
    ],
)
agora_val = dict(
    type='AGORADataset',
    dataset_name='agora',
    data_root='{{$AIOS_DATA:data}}',
    data_prefix=dict(img='datasets/agora'),
    # from our converter, or the file published with AiOS
    ann_file=[
        'preprocessed_npz/multihuman_data/agora_validation.npz',
        'preprocessed_npz/multihuman_data/agora_validation_multi_3840_1010.npz',
    ],
    test_mode=True,
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# No labels: predictions are evaluated on the server.
agora_test = dict(
    type='MediaDataset',
    dataset_name='agora',
    source='{{$AIOS_DATA:data}}/datasets/agora/3840x2160/test',
    pipeline=[
        dict(type='LoadImage'),
        dict(type='WholeBodyResize', scale=(1333, 800)),
        dict(type='PackWholeBodyInputs'),
    ],
)
# All persons. AGORAMetric implements AGORA's official protocol.
agora_mesh_evaluator = dict(type='SMPLXMeshMetric', prefix='AGORA-mesh')
