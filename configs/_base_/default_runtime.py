# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Classes of other projects need their scope: `mmdet.ResNet`.
default_scope = 'aios'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Writes checkpoints atomically, so there is always one to resume from.
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Loads checkpoints without executing code, in tools of other projects too.
    loading=dict(type='DataOnlyLoadingHook'),
    # Logs losses; stops at non-finite ones and names the samples.
    runtime_info=dict(type='AsyncRuntimeInfoHook'),
    # Draws ground truth and predictions of some validation images.
    visualization=dict(type='WholeBodyVisualizationHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,  # image sizes vary
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# To use TensorBoard (pip install tensorboard):
#   --cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='WholeBodyVisualizer', vis_backends=vis_backends, name='visualizer'
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)

log_level = 'INFO'
load_from = None
resume = False
