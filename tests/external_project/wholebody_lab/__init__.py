# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A project of somebody else, who wants AiOS with a backbone of his own."""
