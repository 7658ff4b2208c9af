# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base configs."""
