# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Classes of other projects are written with their scope: `mmdet.ResNet`.
default_scope = 'aios'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # never half a file, and something to resume from at any time
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # no code from checkpoints, also with tools of other projects
    loading=dict(type='DataOnlyLoadingHook'),
    # logs losses; stops at broken ones with the names of the samples
    runtime_info=dict(type='AsyncRuntimeInfoHook'),
    # ground truth and predictions of some images of each validation
    visualization=dict(type='WholeBodyVisualizationHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,  # images come in many sizes
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# TensorBoard instead (pip install tensorboard):
#   --cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='WholeBodyVisualizer', vis_backends=vis_backends, name='visualizer'
)
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)

log_level = 'INFO'
load_from = None
resume = False
