# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluation of aios_s on synthetic images, at their original sizes.

Usage: ``python tools/test.py projects/free_model/aios_s_synthetic.py
WEIGHTS``, and with other images ``--cfg-options
test_dataloader.dataset.data_root=FOLDER``.
"""

_base_ = ['../../configs/aios/aios_s.py']

# Scores need no bias at the image sizes of the training.
model = dict(decoder=dict(pose_prior=dict(score_bias=0.0)))

test_dataloader = dict(
    dataset=dict(
        data_root='data/synthetic/free_test',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
