# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The toy training with FSDP.
_base_ = ['../test_tools/toy_config.py', '../../configs/_base_/fsdp.py']

optim_wrapper = dict(type='ShardedOptimWrapper', clip_grad=dict(max_norm=0.1))
# Without EMAHook, which would average the shards.
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
