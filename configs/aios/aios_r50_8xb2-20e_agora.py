# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning on AGORA alone. Not in the paper; hyperparameters are ours.
_base_ = ['./aios_r50_8xb2-20e_bedlam.py']

train_dataloader = dict(dataset=dict(datasets=[{{_base_.agora_train}}]))
test_evaluator = {{_base_.agora_mesh_evaluator}}
