# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Finetuning with FSDP; losses and steps are the same as without it.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py', '../_base_/fsdp.py']

optim_wrapper = dict(type='ShardedOptimWrapper')
# Without EMAHook, which would average the shards.
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
