# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Every process keeps a piece of the parameters, of the gradients and of the
# optimizer's state, and gets the others while a layer needs them: memory for
# larger models, at the price of communication. See docs/en/scale.md.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='aios.ResumableFSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        auto_wrap_policy=dict(type='aios.engine.fsdp.wrap_layers'),
        use_orig_params=True,  # learning rates differ by name
    ),
    # Checkpoints as of any other training, written by the first process. Not
    # moved to the CPU: for what is there already PyTorch would not make the
    # copy that it needs, and mix the averages up.
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
# And optim_wrapper.type = 'ShardedOptimWrapper', which clips by the norm of
# the whole gradient; a base file cannot change what another one says.
