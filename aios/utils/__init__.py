# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Helpers for files, processes and packages; does not import torch."""
