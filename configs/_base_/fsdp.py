# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Fully sharded data parallel: each process keeps a shard of the parameters,
# gradients and optimizer states, and gathers a layer's parameters when needed.
# Saves memory at the cost of communication. See docs/en/scale.md.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='aios.ResumableFSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        auto_wrap_policy=dict(type='aios.engine.fsdp.wrap_layers'),
        use_orig_params=True,  # learning rates differ by name
    ),
    # The first process writes a regular checkpoint. offload_to_cpu stays off:
    # PyTorch would not copy tensors that are on the CPU already, which
    # corrupts the averaged weights.
    state_dict_cfg=dict(
        state_dict_type='FULL_STATE_DICT',
        state_dict_config=dict(
            type='FullStateDictConfig', rank0_only=True, offload_to_cpu=False
        ),
        optim_state_dict_config=dict(
            type='FullOptimStateDictConfig',
            rank0_only=True,
            offload_to_cpu=False,
        ),
    ),
)
# The config must also set optim_wrapper.type = 'ShardedOptimWrapper', which
# clips by the norm of the full gradient; a base file cannot override another.
