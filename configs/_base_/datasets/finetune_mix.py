# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning data: all six training sets of the paper. Validation is the same
# as in pretraining.
_base_ = ['./pretrain_mix.py', './ubody.py', './egobody.py', './arctic.py']

train_dataloader = dict(
    sampler=dict(weights=[0.2, 0.2, 0.2, 0.2, 0.1, 0.1]),
    dataset=dict(
        datasets=[
            {{_base_.agora_train}},
            {{_base_.bedlam_train}},
            {{_base_.coco_train}},
            {{_base_.ubody_train}},
            {{_base_.egobody_train}},
            {{_base_.arctic_train}},
        ],
    ),
)
