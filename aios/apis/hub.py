# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Models in folders and repositories of the Hugging Face Hub."""

from __future__ import annotations

import os
from pathlib import Path

HUB_WEIGHTS = 'model.safetensors'
"""Weights and, in their metadata, the config."""


def hub_weights(name: str | os.PathLike, revision: str | None = None) -> Path:
    """Find the weights of a folder, or download those of a repository.

    Args:
        name: Folder made by ``publish_model.py --hub-folder``, or id of a
            repository with its content.
        revision: Branch, tag or commit of the repository.

    Raises:
        FileNotFoundError: If there is no such folder, repository or file.
        ValueError: If ``huggingface_hub`` is needed and not installed.
    """
    if Path(name).is_dir():
        path = Path(name, HUB_WEIGHTS)
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such file')
        return path
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{name}: not a folder, and downloading from the Hub needs '
            'huggingface_hub: pip install huggingface_hub'
        ) from error
    try:
        return Path(hf_hub_download(str(name), HUB_WEIGHTS, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).partition('\n')[0]
        raise FileNotFoundError(
            f'{name}: must be a folder or a repository with {HUB_WEIGHTS} '
            f'({reason})'
        ) from error
