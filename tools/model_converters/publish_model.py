#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Make a checkpoint ready to be given away.

Leaves out the optimizer and whatever else only goes on with a training, and
puts the beginning of the file's SHA-256 into its name: ``NAME-0123abcd.pth``.
MMEngine and torch.hub check downloads by it.

Examples:
    python tools/model_converters/publish_model.py epoch_50.pth aios_r50.pth
    python tools/model_converters/publish_model.py epoch_50.pth aios_r50 \
        --safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch

from aios.models.checkpoints import (
    CheckpointError,
    read_checkpoint,
    select_weights,
)
from aios.utils.command_line import add_overwrite_option, make_parser
from aios.utils.safe_io import atomic_write

HASH_DIGITS = 8
# Paths of the machine it was trained on.
PRIVATE_META = ('hook_msgs', 'cwd')


def build_parser() -> argparse.ArgumentParser:
    """The command line; more than mmdet's tool of the same name."""
    parser = make_parser(__doc__)
    parser.add_argument('in_file', type=Path, help='checkpoint to read')
    parser.add_argument(
        'out_file', type=Path, help='name to publish, without the hash'
    )
    parser.add_argument(
        '--save-keys',
        nargs='+',
        default=['meta', 'state_dict'],
        help='entries to keep (default: meta state_dict)',
    )
    parser.add_argument(
        '--ema',
        action='store_true',
        help='publish ema_state_dict as state_dict. With an EMAHook '
        'MMEngine saves the averages as state_dict, so these are the others',
    )
    parser.add_argument(
        '--safetensors',
        action='store_true',
        help='write weights as safetensors, which cannot hold code; entries '
        'of meta become text',
    )
    add_overwrite_option(parser, 'an earlier result')
    return parser


def select_content(
    content: dict[str, Any], keys: list[str], ema: bool
) -> dict[str, Any]:
    """Keep what is to be published.

    Raises:
        CheckpointError: A key is missing, or there are no weights.
    """
    missing = [key for key in keys if key not in content]
    if missing:
        raise CheckpointError(
            f'no entry {", ".join(missing)}; there are {", ".join(content)}'
        )
    kept = {key: content[key] for key in keys}
    if 'state_dict' in kept or ema:
        kept['state_dict'] = {
            name: tensor.contiguous()
            for name, tensor in select_weights(content, ema).items()
        }
    if isinstance(kept.get('meta'), dict):
        kept['meta'] = {
            name: value
            for name, value in kept['meta'].items()
            if name not in PRIVATE_META
        }
    return kept


def pack(content: dict[str, Any], safetensors: bool) -> bytes:
    """Bytes of the file.

    Raises:
        CheckpointError: Safetensors cannot hold one of the entries.
    """
    if not safetensors:
        stream = io.BytesIO()
        torch.save(content, stream)
        return stream.getvalue()
    from safetensors.torch import save

    others = set(content) - {'meta', 'state_dict'}
    if others or 'state_dict' not in content:
        raise CheckpointError(
            'safetensors hold meta and state_dict; --save-keys says '
            f'{", ".join(content)}'
        )
    meta = content.get('meta') or {}
    texts = {
        str(name): value if isinstance(value, str) else _to_json(value)
        for name, value in meta.items()
    }
    return save(content['state_dict'], metadata={'format': 'pt', **texts})


def _to_json(value: Any) -> str:
    return json.dumps(value, default=str)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    suffix = '.safetensors' if args.safetensors else '.pth'
    stem = args.out_file.name.removesuffix('.pth').removesuffix(suffix)
    try:
        content = read_checkpoint(args.in_file)
        kept = select_content(content, args.save_keys, args.ema)
        data = pack(kept, args.safetensors)
        digest = hashlib.sha256(data).hexdigest()
        path = args.out_file.with_name(
            f'{stem}-{digest[:HASH_DIGITS]}{suffix}'
        )
        with atomic_write(path, args.overwrite) as stream:
            stream.write(data)
    except FileExistsError as error:
        sys.exit(f'error: {error}; --overwrite replaces it')
    except (CheckpointError, OSError) as error:
        sys.exit(f'error: {args.in_file}: {error}')
    left_out = sorted(set(content) - set(kept))
    print(f'left out: {", ".join(left_out) or "nothing"}')
    print(f'wrote {path} ({len(data) / 2**20:.1f} MiB), sha256 {digest}')


if __name__ == '__main__':
    main()
