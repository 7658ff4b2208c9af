# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Generator of the AiOS free body; run it by ``make_free_body.py``."""
