# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""See ``configs/_base_/default_runtime.py``."""

from mmengine.hooks import (
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.runner import LogProcessor
from mmengine.visualization import LocalVisBackend

from aios.engine.hooks import (
    AsyncRuntimeInfoHook,
    AtomicCheckpointHook,
    DataOnlyLoadingHook,
    WholeBodyVisualizationHook,
)
from aios.visualization.local_visualizer import WholeBodyVisualizer

default_scope = 'aios'

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=50),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=AtomicCheckpointHook, interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type=DistSamplerSeedHook),
    # never executes code from checkpoints, also in tools of other projects
    loading=dict(type=DataOnlyLoadingHook),
    # ground truth and predictions of some images of each validation
    visualization=dict(type=WholeBodyVisualizationHook),
    # logs losses; stops at infinite and NaN ones, naming the samples
    runtime_info=dict(type=AsyncRuntimeInfoHook),
)

env_cfg = dict(
    cudnn_benchmark=False,  # images have many sizes
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

visualizer = dict(
    type=WholeBodyVisualizer,
    vis_backends=[dict(type=LocalVisBackend)],
    name='visualizer',
)
log_processor = dict(type=LogProcessor, window_size=50, by_epoch=True)

log_level = 'INFO'
load_from = None
resume = False
