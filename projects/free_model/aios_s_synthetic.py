# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluates aios_s on synthetic images, at the sizes they were drawn in.

Usage: ``python tools/test.py projects/free_model/aios_s_synthetic.py
WEIGHTS``, and with other images ``--cfg-options
test_dataloader.dataset.data_root=FOLDER``.
"""

_base_ = ['../../configs/aios/aios_s.py']

body_model = dict(type='SMPLXLayer', model_path='free')
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        data_root='data/synthetic/free_test',
        ann_file='humandata.npz',
        metainfo=dict(body_model=body_model),
        test_mode=True,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
test_evaluator = dict(type='WholeBodyMetric', body_model=body_model)
test_cfg = dict(type='TestLoop')
