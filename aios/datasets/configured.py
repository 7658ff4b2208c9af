# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The data set that a config describes."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

__all__ = ['dataset_config']

_PHASES = ('train', 'val', 'test')


def dataset_config(config: Config, phase: str) -> ConfigDict:
    """Config of the data set of a phase.

    Args:
        config: A full config, with ``<phase>_dataloader``, or a base file of
            ``configs/_base_/datasets``, with ``<name>_<phase>``.
        phase: ``'train'``, ``'val'`` or ``'test'``.

    Raises:
        ValueError: If there is none for this phase; the message says what
            there is.
    """
    loader = config.get(f'{phase}_dataloader')
    if loader:
        return loader['dataset']
    known = {
        name: value
        for name, value in config.items()
        if isinstance(value, dict) and {'ann_file', 'source'} & set(value)
    }
    for name, value in known.items():
        if name.endswith(f'_{phase}'):
            return value
    loaders = (f'{name}_dataloader' for name in _PHASES)
    found = [*known, *(name for name in loaders if config.get(name))]
    raise ValueError(
        f'{config.filename} has no {phase}_dataloader and no data set '
        f'<name>_{phase}; it has {", ".join(found) or "no data set at all"}'
    )
