# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Half the GPUs, and gradients of two batches for each step of the optimizer:
# 16 images a step as well. See docs/en/scale.md for what is not the same.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py']

optim_wrapper = dict(accumulative_counts=2)
# USER SHOULD NOT CHANGE base_batch_size: (4 GPUs) x (2 images)
auto_scale_lr = dict(base_batch_size=8)
