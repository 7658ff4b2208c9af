# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How the training of aios_s ends: candidates are chosen as in use.

With candidates that overlap persons by force, scores learn how many persons
an image has instead of which candidates are persons: of single persons 98 %
had a box, and 30 % a score above 0.3.
"""

_base_ = ['aios_s_cached.py']

model = dict(decoder=dict(num_persons=10, keep_overlapping=False))
# What was learned with the higher rate should be forgotten by the end.
recipe = dict(ema=0.006)
