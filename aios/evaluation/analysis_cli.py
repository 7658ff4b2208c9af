# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Shared command line of the tools that compare dumps with labels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aios.datasets import configured
from aios.utils.command_line import (
    add_cfg_options,
    add_overwrite_option,
    number,
    read_config,
)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Options of tools that compare dumped predictions with labels."""
    add = parser.add_argument
    add('config', help='config file with a test_dataloader')
    add('predictions', type=Path, help='.pkl file of tools/test.py --out')
    add('--out', type=Path, required=True, metavar='DIR')
    add_overwrite_option(parser, 'older results')
    add('--phase', choices=['val', 'test'], default='test')
    add(
        '--score-thr',
        type=number(float, 0, 1),
        default=0.3,
        help='minimum score of predictions (default: %(default)s)',
    )
    add(
        '--iou-thr',
        type=number(float, 0, 1),
        default=0.5,
        help='minimum IoU of matched boxes (default: %(default)s)',
    )
    add(
        '--align',
        choices=['root', 'similarity'],
        default='root',
        help='alignment of the parts: root aligns pelvis, wrists and neck, '
        'similarity fits scale, rotation and translation (default: '
        '%(default)s)',
    )
    add_cfg_options(parser)


def build_dataset(args: argparse.Namespace) -> Any:
    """Dataset of a phase of the config."""
    config = read_config(args.config, args.cfg_options)
    return configured.build_dataset(
        config, configured.dataset_config(config, args.phase)
    )


def check_outputs(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Exit if older results would be replaced without ``--overwrite``."""
    older = [args.out / n for n in names if (args.out / n).exists()]
    if older and not args.overwrite:
        sys.exit(
            f'error: {older[0]} exists; choose another --out, or add '
            '--overwrite'
        )
