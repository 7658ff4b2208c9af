# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Goes on after aios_s_end, on less certain ground.

Features of photographs differ from those of synthetic images.  With noise on
features, and poses of three persons in ten read off places alone, detection
depends less on each of them; the mean of these weights and those before is
better on photographs than either.
"""

_base_ = ['aios_s_end.py']

model = dict(bbox_head=dict(content_dropout=0.3))
recipe = dict(feature_noise=0.2)
