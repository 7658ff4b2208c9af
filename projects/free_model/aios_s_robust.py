# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Continues after aios_s_end with noise on the features.

Features of photographs differ from those of synthetic images.  With noise,
and with poses of 30 % of the persons predicted from positions alone,
detection depends less on single features.  The mean of these weights and
those of aios_s_end is better on photographs than either.
"""

_base_ = ['aios_s_end.py']

model = dict(bbox_head=dict(content_dropout=0.3))
recipe = dict(feature_noise=0.2)
