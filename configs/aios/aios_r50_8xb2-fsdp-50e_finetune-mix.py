# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# With the model in pieces, one on each GPU; losses and steps are the same.
_base_ = ['./aios_r50_8xb2-50e_finetune-mix.py', '../_base_/fsdp.py']

optim_wrapper = dict(type='ShardedOptimWrapper')
# Without EMAHook: it would average the pieces.
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
