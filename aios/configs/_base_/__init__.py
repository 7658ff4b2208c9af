# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What configs inherit from."""
