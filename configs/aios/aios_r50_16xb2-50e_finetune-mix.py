# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning as in the paper, on six datasets.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50_published.py',
    '../_base_/datasets/finetune_mix.py',
    '../_base_/schedules/schedule_50e.py',
]

# last checkpoint of aios_r50_16xb2-60e_pretrain-mix.py
load_from = 'work_dirs/aios_r50_16xb2-60e_pretrain-mix/epoch_60.pth'
