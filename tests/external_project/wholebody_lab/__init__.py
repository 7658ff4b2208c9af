# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""External project that uses AiOS with its own backbone."""
