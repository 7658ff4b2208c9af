# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning on 4 GPUs with gradients accumulated over two batches, so also 16
# images per step. See docs/en/scale.md for the differences.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py']

optim_wrapper = dict(accumulative_counts=2)
# USER SHOULD NOT CHANGE base_batch_size: (4 GPUs) x (2 images)
auto_scale_lr = dict(base_batch_size=8)
