# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Pretraining as in the paper, from ED-Pose, on AGORA, BEDLAM and COCO.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/aios_r50_published.py',
    '../_base_/datasets/pretrain_mix.py',
    '../_base_/schedules/schedule_60e.py',
]

# edpose_r50_coco.pth of https://github.com/IDEA-Research/ED-Pose, unchanged.
# It has no weights for hands, faces and SMPL-X heads.
load_from = 'data/checkpoint/edpose_r50_coco.pth'
