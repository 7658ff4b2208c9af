# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# AiOS with ResNet-50 as published, the config of aios_checkpoint.pth.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/aios_r50.py']
