#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Evaluate a model.

Examples:
    python tools/test.py CONFIG work_dirs/NAME/epoch_24.pth
    python tools/test.py CONFIG CHECKPOINT --show-dir images \
        --out predictions.pkl
    bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, ConfigDict

from aios.engine.launch import add_run_options, build_runner, load_run_config
from aios.utils.command_line import errors_in_one_line


def build_parser() -> argparse.ArgumentParser:
    """The command line; the options of mmdet's tool of the same name."""
    parser = argparse.ArgumentParser(description='Evaluate a model.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, a file or a URL')
    parser.add_argument(
        '--out',
        metavar='FILE.pkl',
        help='write the predictions to this file, as NumPy arrays without '
        'meshes',
    )
    parser.add_argument(
        '--show', action='store_true', help='show each image in a window'
    )
    parser.add_argument(
        '--show-dir',
        metavar='NAME',
        help='draw ground truth and predictions of each image into '
        'WORK_DIR/TIMESTAMP/NAME',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds to show each image (default: %(default)s)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation; the config must define tta_model and '
        'tta_pipeline',
    )
    add_run_options(parser)
    return parser


def show_images(config: Config, args: argparse.Namespace) -> None:
    """Let the visualization hook draw every image."""
    hook = (config.get('default_hooks') or {}).get('visualization')
    if hook is None:
        sys.exit(
            'error: --show and --show-dir need '
            "default_hooks.visualization=dict(type='WholeBody"
            "VisualizationHook') in the config"
        )
    hook.show = args.show
    hook.wait_time = args.wait_time
    hook.test_out_dir = args.show_dir


def use_test_time_augmentation(config: Config) -> None:
    """Wrap the model as the config says."""
    missing = [k for k in ('tta_model', 'tta_pipeline') if k not in config]
    if missing:
        sys.exit(
            f'error: --tta: {config.filename} has no {", ".join(missing)}. '
            'Averaging boxes is not enough for bodies, and AiOS is '
            'published without test-time augmentation'
        )
    config.model = ConfigDict(**config.tta_model, module=config.model)
    set_pipeline(config.test_dataloader.dataset, config.tta_pipeline)


def set_pipeline(dataset: ConfigDict, pipeline: list[dict]) -> None:
    """Set the pipeline of a dataset, or of those that it wraps."""
    wrapped = [dataset.dataset] if 'dataset' in dataset else []
    wrapped += dataset.get('datasets', [])
    for inner in wrapped:
        set_pipeline(inner, pipeline)
    if not wrapped:
        dataset.pipeline = pipeline


def dump_predictions(config: Config, out: str) -> None:
    """Add a metric that writes predictions."""
    if Path(out).suffix not in ('.pkl', '.pickle'):
        sys.exit(f'error: --out {out}: the suffix must be .pkl')
    metrics = config.get('test_evaluator') or []
    if isinstance(metrics, dict):
        metrics = [metrics]
    dump = dict(type='DumpWholeBodyResults', out_file_path=out)
    config.test_evaluator = [*metrics, dump]


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Evaluate; returns the metrics."""
    args = build_parser().parse_args(argv)
    with errors_in_one_line():
        return _test(args)


def _test(args: argparse.Namespace) -> dict[str, float]:
    config = load_run_config(args)
    for phase in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        if config.get(phase) is None:
            sys.exit(f'error: {config.filename} has no {phase}')
    config.load_from = args.checkpoint
    config.resume = False
    if args.show or args.show_dir:
        show_images(config, args)
    if args.tta:
        use_test_time_augmentation(config)
    if args.out:
        dump_predictions(config, args.out)
    runner = build_runner(config)
    metrics = runner.test()
    if runner.rank == 0:
        width = max(map(len, metrics), default=0)
        for name, value in metrics.items():
            print(f'{name:{width}s}  {value:.6g}')
    return metrics


if __name__ == '__main__':
    main()
