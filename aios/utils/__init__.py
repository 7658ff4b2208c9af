# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Helpers around the environment; importing this imports no torch."""
