# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Test dataloader without a dataset, which the config adds.
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    # round_up would repeat some images.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
)
test_cfg = dict(type='TestLoop')
