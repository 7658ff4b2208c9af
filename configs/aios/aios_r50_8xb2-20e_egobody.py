# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning on EgoBody alone. Not in the paper; hyperparameters are ours.
_base_ = ['./aios_r50_8xb2-20e_bedlam.py']

train_dataloader = dict(dataset=dict(datasets=[{{_base_.egobody_train}}]))
val_dataloader = dict(dataset={{_base_.egobody_val}})
test_dataloader = dict(dataset={{_base_.egobody_test}})
test_evaluator = {{_base_.egobody_evaluator}}
