# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training of tools/train_demo.sh: aios_s for few, large persons."""

_base_ = ['aios_s_cached.py']

model = dict(
    decoder=dict(
        # aios_s has two layers of body refinement
        stages=[
            dict(stage, num_layers=1) for stage in _base_.model.decoder.stages
        ],
        num_persons=4,
    ),
    test_cfg=dict(max_per_img=4),
)
# Large batches, because each step has a fixed cost.
recipe = dict(lr=1.6e-3, warm_up=25, ema=0.02, batch_size=48)
