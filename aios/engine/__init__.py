# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hooks, optimizer wrappers and tools of training and testing."""
