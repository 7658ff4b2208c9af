# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Datasets of the phases of a config."""

from __future__ import annotations

import argparse
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from aios.registry import DATASETS, register_all_modules
from aios.utils.command_line import add_cfg_options

PHASES = ('train', 'val', 'test')
"""Phases of a config."""


def add_dataset_arguments(parser: argparse._ActionsContainer) -> None:
    """Add ``config``, ``--phase`` and ``--cfg-options``."""
    parser.add_argument(
        'config',
        help='config file, or a base file of configs/_base_/datasets',
    )
    parser.add_argument(
        '--phase',
        choices=PHASES,
        help='phase to load (default: the first one in the config)',
    )
    add_cfg_options(parser)


def dataset_config(config: Config, phase: str | None = None) -> ConfigDict:
    """Config of the dataset of a phase.

    Args:
        config: A full config, with ``<phase>_dataloader``, or a base file of
            ``configs/_base_/datasets``, with ``<name>_<phase>``.
        phase: One of :data:`PHASES`; default: the first with a dataset.

    Raises:
        ValueError: If the phase has none; the message lists the datasets.
    """
    found = _datasets(config)
    for name in (phase,) if phase else PHASES:
        for key, value in found.items():
            if key == f'{name}_dataloader':
                return value['dataset']
            if key.endswith(f'_{name}'):
                return value
    reason = 'contains no dataset'
    if found:
        wanted = phase or '<phase>'
        reason = (
            f'has no {wanted}_dataloader and no dataset <name>_{wanted}, '
            f'only {", ".join(found)}'
        )
    raise ValueError(f'{config.filename}: {reason}')


def build_dataset(config: Config, settings: ConfigDict) -> Any:
    """Build a dataset of a config, in the default scope of the config.

    Args:
        config: Config of the dataset and its project.
        settings: Result of :func:`dataset_config`, possibly changed.
    """
    register_all_modules(init_default_scope=False)
    init_default_scope(config.get('default_scope', 'aios'))
    return DATASETS.build(settings)


def _datasets(config: Config) -> dict[str, ConfigDict]:
    """Data loaders, then datasets of base files, by name."""
    names = [f'{phase}_dataloader' for phase in PHASES]
    loaders = {name: config[name] for name in names if config.get(name)}
    datasets = {
        name: value
        for name, value in config.items()
        if isinstance(value, dict) and {'ann_file', 'source'} & set(value)
    }
    return loaders | datasets
