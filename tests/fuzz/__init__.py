# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hostile files for every reader."""
