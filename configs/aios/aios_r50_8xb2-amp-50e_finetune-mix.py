# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning in bfloat16 with activation checkpointing. The published training
# uses float32.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py']

model = dict(
    backbone=dict(with_cp=True),
    encoder=dict(num_cp=6),  # all layers
    decoder=dict(num_cp=6),
)
optim_wrapper = dict(
    type='AsyncAmpOptimWrapper',
    dtype='bfloat16',
    # bfloat16 has the range of float32, so no loss scaling.
    loss_scale=dict(enabled=False),
)
