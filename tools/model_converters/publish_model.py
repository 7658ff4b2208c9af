#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Prepare a checkpoint for publication.

Drops the optimizer and all other entries that are only needed to resume a
training, and appends the beginning of the file's SHA-256 to its name:
``NAME-0123abcd.pth``. MMEngine and torch.hub verify downloads with it.

Examples:
    python tools/model_converters/publish_model.py epoch_50.pth aios_r50.pth
    python tools/model_converters/publish_model.py epoch_50.pth aios_r50 \
        --safetensors
    python tools/model_converters/publish_model.py epoch_50.pth aios_r50 \
        --hub-folder hub/aios_r50 --licenses weights=CC-BY-4.0 \
        body=SMPL-X data="BEDLAM, AGORA: research only"
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import torch

from aios.apis.hub import HUB_WEIGHTS
from aios.models.checkpoints import (
    CheckpointError,
    read_checkpoint,
    select_weights,
)
from aios.models.checkpoints.reading import errors_name
from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
)
from aios.utils.safe_io import atomic_write, refuse_existing

HASH_DIGITS = 8
# Paths of the training machine.
PRIVATE_META = ('hook_msgs', 'cwd')
PARTS = ('weights', 'body', 'data')
CARD = """---
library_name: aios
license: other
license_name: {license}
tags: [human-pose-and-shape, human-mesh-recovery, smpl-x]
---

# {name}

A model of AiOS-MM: whole-body SMPL-X of all persons in an image.

Licenses; each of them has to be kept:

| {head} |
|{rule}|
| {values} |

```python
from aios.apis import AiOSInferencer

inferencer = AiOSInferencer.from_pretrained('THIS FOLDER OR REPOSITORY')
```

`config.py` is for readers; the config that is used is data in
`model.safetensors`.
"""


def build_parser() -> argparse.ArgumentParser:
    """The command line; more than mmdet's tool of the same name."""
    parser = make_parser(__doc__)
    parser.add_argument('in_file', type=Path, help='input checkpoint')
    parser.add_argument(
        'out_file', type=Path, help='output file, without the hash'
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
        help='publish ema_state_dict as state_dict. MMEngine swaps the two '
        'when it saves a training with EMAHook: state_dict has the '
        'averages, ema_state_dict the weights of the last step',
    )
    parser.add_argument(
        '--safetensors',
        action='store_true',
        help='write safetensors, a format that cannot contain code; meta is '
        'stored as text',
    )
    parser.add_argument(
        '--hub-folder',
        type=Path,
        metavar='FOLDER',
        help='write model.safetensors, config.py and a model card README.md, '
        'for the Hugging Face Hub and AiOSInferencer.from_pretrained; '
        'OUT_FILE is the model name',
    )
    parser.add_argument(
        '--licenses',
        nargs='+',
        default=[],
        metavar='PART=LICENSE',
        help='with --hub-folder: licenses of the weights, the body model and '
        'the training data',
    )
    add_overwrite_option(parser, 'an earlier result')
    return parser


def write_hub_folder(
    folder: Path, name: str, content: dict[str, Any], args: argparse.Namespace
) -> None:
    """Write weights, config and model card.

    Raises:
        CheckpointError: The checkpoint has no config.
        FileExistsError: A file exists.
        ValueError: A license is missing.
    """
    licenses = parse_licenses(args.licenses)
    config = (content.get('meta') or {}).get('cfg')
    if not isinstance(config, str):
        raise CheckpointError('this checkpoint contains no config')
    files = {
        HUB_WEIGHTS: pack(content, safetensors=True),
        'config.py': config.encode(),
        'README.md': model_card(name, licenses).encode(),
    }
    for file in files:
        refuse_existing(folder / file, args.overwrite)
    for file, data in files.items():
        with atomic_write(folder / file, args.overwrite) as stream:
            stream.write(data)


def parse_licenses(texts: list[str]) -> dict[str, str]:
    """Licenses by part, that of the code included.

    Raises:
        ValueError: One is missing, or the part is unknown.
    """
    pairs = dict(text.partition('=')[::2] for text in texts)
    if set(pairs) != set(PARTS) or not all(pairs.values()):
        raise ValueError(
            f'--licenses must set each of {", ".join(PARTS)} once, as '
            'PART=LICENSE (the code is Apache-2.0); got '
            f'{" ".join(texts) or "nothing"}'
        )
    return {'code': 'Apache-2.0'} | {part: pairs[part] for part in PARTS}


def model_card(name: str, licenses: dict[str, str]) -> str:
    """The text of ``README.md``."""
    head, values = (' | '.join(x) for x in (licenses, licenses.values()))
    return CARD.format(
        name=name,
        license=json.dumps(licenses['weights'], ensure_ascii=False),
        head=head,
        rule='|'.join(['---'] * len(licenses)),
        values=values,
    )


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
            f'has no entry {", ".join(missing)}; entries: {", ".join(content)}'
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
            'safetensors files contain meta and state_dict only, but '
            f'--save-keys is {", ".join(content)}'
        )
    meta = content.get('meta') or {}
    texts = {
        str(name): value if isinstance(value, str) else _to_json(value)
        for name, value in meta.items()
    }
    return save(content['state_dict'], metadata={'format': 'pt', **texts})


def _to_json(value: Any) -> str:
    return json.dumps(value, default=str)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    suffix = '.safetensors' if args.safetensors else '.pth'
    stem = args.out_file.name.removesuffix('.pth').removesuffix(suffix)
    if args.licenses and args.hub_folder is None:
        raise ValueError('--licenses needs --hub-folder')
    with errors_name(args.in_file):
        content = read_checkpoint(args.in_file)
        kept = select_content(content, args.save_keys, args.ema)
        if args.hub_folder is not None:
            write_hub_folder(args.hub_folder, stem, kept, args)
            print(f'wrote {args.hub_folder}')
            return
        data = pack(kept, args.safetensors)
        digest = hashlib.sha256(data).hexdigest()
        path = args.out_file.with_name(
            f'{stem}-{digest[:HASH_DIGITS]}{suffix}'
        )
        with atomic_write(path, args.overwrite) as stream:
            stream.write(data)
    left_out = sorted(set(content) - set(kept))
    print(f'left out: {", ".join(left_out) or "nothing"}')
    print(f'wrote {path} ({len(data) / 2**20:.1f} MiB), sha256 {digest}')


if __name__ == '__main__':
    main()
