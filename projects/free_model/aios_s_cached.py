# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training of aios_s on cached features; see README.md."""

_base_ = ['aios_s_synthetic.py']

# Few candidates save time. The ones that overlap persons best are always
# kept, or later stages would learn from candidates far from any person.
model = dict(
    decoder=dict(num_persons=8, keep_overlapping=True),
    dn_cfg=dict(num_queries=10),
    # Trained separately; see train_lifter.py.
    bbox_head=dict(pose_lifter=None),
    test_cfg=dict(keypoint_fit_steps=0, pyramid=[dict(scale=1.0)]),
)

recipe = dict(
    lr=1e-3, muon=True, warm_up=200, clip=5.0, ema=0.002, batch_size=24
)

cached_dataset = dict(
    type='HumanDataset',
    ann_file='humandata.npz',
    metainfo=dict(body_model=dict(type='SMPLXLayer', model_path='free')),
    filter_cfg=dict(min_persons=0),  # images without persons are negatives
    pipeline=[
        dict(type='LoadImage'),
        dict(type='LoadHumanAnnotations'),
        dict(type='FilterWholeBody', keep_empty=True),
        dict(type='PackWholeBodyInputs'),
    ],
)
