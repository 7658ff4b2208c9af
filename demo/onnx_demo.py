#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find people with ONNX Runtime instead of PyTorch's network.

Results are those of the other demos: params.npz, and people over their
pictures in vis/ or vis.mp4.

Examples:
    python tools/deployment/export_model.py aios_r50 CHECKPOINT aios.onnx
    python demo/onnx_demo.py aios.onnx photo.jpg
    python demo/onnx_demo.py aios.onnx video.mp4 --track --out-dir results
"""

from __future__ import annotations

import argparse
import sys

from aios.apis import open_sources
from aios.apis.cli import add_limits
from aios.apis.job import Outputs, run_inference
from aios.apis.onnx_inferencer import OnnxInferencer
from aios.apis.post_processing import PostProcessing
from aios.body_models import MissingBodyModelError
from aios.deploy import ExportError
from aios.utils.command_line import add_overwrite_option, make_parser


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument('model', help='file of tools/deployment/export_model')
    parser.add_argument('source', help='picture, folder, pattern or video')
    parser.add_argument(
        '--out-dir',
        default='outputs/onnx_demo',
        help='folder for the results (default: %(default)s)',
    )
    add_limits(parser)
    parser.add_argument(
        '--device', default='cpu', help='cpu or cuda (default: %(default)s)'
    )
    parser.add_argument(
        '--threads', type=int, help='on the CPU (default: all cores)'
    )
    parser.add_argument(
        '--body-model',
        metavar='FOLDER',
        help="SMPL-X files, or 'free' (default: as in training)",
    )
    parser.add_argument(
        '--track', action='store_true', help='the same id in all frames'
    )
    parser.add_argument(
        '--save-glb', action='store_true', help='people.glb, for Blender'
    )
    add_overwrite_option(parser, 'earlier results')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Find people; returns their number."""
    args = build_parser().parse_args(argv)
    options = {}
    if args.body_model:
        key = 'model.bbox_head.body_model.model_path'
        options[key] = args.body_model
    try:
        inferencer = OnnxInferencer(
            args.model,
            args.device,
            args.threads,
            score_thr=args.score_thr,
            max_persons=args.max_persons,
            cfg_options=options,
        )
        summary = run_inference(
            inferencer,
            open_sources(args.source),
            args.out_dir,
            outputs=Outputs(formats=['glb'] if args.save_glb else []),
            processing=PostProcessing(track=args.track),
            overwrite=args.overwrite,
        )
    except (ExportError, MissingBodyModelError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(
        f'{summary.persons} people in {summary.frames} frames: {args.out_dir}'
    )
    return summary.persons


if __name__ == '__main__':
    main()
