# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Final training of aios_s: candidates are selected as in inference.

If overlapping candidates are always kept, scores learn the number of persons
in an image instead of which candidates are persons: 98 % of single persons
had a box, but only 30 % a score above 0.3.
"""

_base_ = ['aios_s_cached.py']

model = dict(decoder=dict(num_persons=10, keep_overlapping=False))
# A faster average, since weights of the higher rate should not contribute.
recipe = dict(ema=0.006)
