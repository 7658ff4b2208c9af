# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# The toy training with the model in pieces.
_base_ = ['../test_tools/toy_config.py', '../../configs/_base_/fsdp.py']

optim_wrapper = dict(type='ShardedOptimWrapper', clip_grad=dict(max_norm=0.1))
# An average of pieces is no average.
custom_hooks = [dict(type='StepSeedHook'), dict(type='ResumeFallbackHook')]
