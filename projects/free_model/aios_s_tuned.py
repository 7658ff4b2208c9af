# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Continues after aios_s_robust and also trains MoveNet's last blocks.

They learn ten times slower than the rest; see tuned_blocks.py.
"""

_base_ = ['aios_s_robust.py']

recipe = dict(lr=8e-4, warm_up=50, keep_pyramid=4.0)
