# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Pretraining data.
_base_ = ['./agora.py', './bedlam.py', './coco.py']

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(
        type='WeightedConcatSampler',
        # Exact shares; the published code samples a dataset per image.
        weights=[0.4, 0.3, 0.3],
        epoch_length='max',  # of the largest dataset
    ),
    dataset=dict(
        type='SeededConcatDataset',
        datasets=[
            {{_base_.agora_train}},
            {{_base_.bedlam_train}},
            {{_base_.coco_train}},
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    # round_up would repeat some images.
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset={{_base_.agora_val}},
)
test_dataloader = val_dataloader
val_evaluator = dict(type='WholeBodyMetric')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
