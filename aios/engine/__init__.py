# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What happens around training and evaluation steps."""
