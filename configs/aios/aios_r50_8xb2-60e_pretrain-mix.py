# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Pretraining on 8 GPUs with the hyperparameters of the published script.
_base_ = ['./aios_r50_16xb2-60e_pretrain-mix.py']

# The learning rate is the same, although a step has half as many images.
auto_scale_lr = dict(base_batch_size=16)  # 16 GPUs: 32
