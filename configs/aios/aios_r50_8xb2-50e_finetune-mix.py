# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning on 8 GPUs.
_base_ = ['./aios_r50_16xb2-50e_finetune-mix.py']

# With 16 GPUs 1.414e-5 = sqrt(2) * 1e-5, for twice as many images per step.
optim_wrapper = dict(optimizer=dict(lr=1e-5))
auto_scale_lr = dict(base_batch_size=16)  # 16 GPUs: 32
load_from = 'work_dirs/aios_r50_8xb2-60e_pretrain-mix/epoch_60.pth'
