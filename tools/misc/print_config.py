#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Print a config with its inherited settings.

Examples:
    python tools/misc/print_config.py configs/aios/aios_r50.py
    python tools/misc/print_config.py aios::aios/aios_r50.py \
        --cfg-options model.num_queries=300 --save-path whole.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aios.utils.command_line import (
    add_cfg_options,
    add_config_argument,
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
    read_config,
)
from aios.utils.safe_io import refuse_existing

FORMATS = ('.py', '.json', '.yml', '.yaml')


def build_parser() -> argparse.ArgumentParser:
    """The command line; the options of mmdet's tool of the same name."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument(
        '--save-path',
        type=Path,
        metavar='FILE',
        help=f'also write the config to a file: {", ".join(FORMATS)}',
    )
    add_overwrite_option(parser, 'FILE if it exists')
    add_cfg_options(parser)
    return parser


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    path = args.save_path
    if path is not None and path.suffix not in FORMATS:
        sys.exit(f'error: --save-path {path}: allowed suffixes are {FORMATS}')
    if path is not None:
        refuse_existing(path, args.overwrite)
    config = read_config(args.config, args.cfg_options)
    print(config.pretty_text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        config.dump(path)


if __name__ == '__main__':
    main()
