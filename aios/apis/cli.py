# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options and messages of the demos."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from aios.export import exporters_by_flag
from aios.runtime import DTYPES, RUNTIMES
from aios.utils.command_line import (
    add_cfg_options,
    add_overwrite_option,
    make_parser,
    number,
)
from aios.utils.media import is_media
from aios.utils.shipped import SHIPPED_MODEL
from aios.visualization import OVERLAY_LAYERS, VIEWS

from .dist_context import DistContext
from .exit_codes import fail, run
from .job import Inferencer, Outputs, Summary, run_inference
from .onnx_inferencer import OnnxInferencer
from .post_processing import PostProcessing
from .sources import open_sources
from .window import DEFAULT_LAYERS

WEIGHTS = ('.pth', '.pt', '.safetensors')


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add arguments and options of the demos."""
    add_model_arguments(parser)
    _add_choice(parser)
    _add_camera(parser)
    _add_outputs(parser)
    run = parser.add_argument_group('run')
    add_device_option(run)
    add_runtime_options(run)
    run.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='number of images processed at once; they must have the same '
        'size (default: %(default)s)',
    )
    add_overwrite_option(run, 'the results of an earlier run')
    run.add_argument(
        '--resume',
        action='store_true',
        help='continue an interrupted run',
    )
    add_cfg_options(run)


def add_launcher_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch'],
        default='none',
        help='pytorch: share the work among the processes of torchrun',
    )


def add_runtime_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--runtime`` and ``--dtype``."""
    parser.add_argument(
        '--runtime',
        choices=['torch', *RUNTIMES],
        default='torch',
        help='onnx: ONNX Runtime and NumPy; openvino: OpenVINO and NumPy, '
        'faster on Intel processors; both use the CPU unless --device is set '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--dtype',
        choices=DTYPES,
        default='float32',
        help='dtype of the backbone; bfloat16 needs --runtime openvino and a '
        'processor that supports it (default: %(default)s)',
    )


def runtime_options(args: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :class:`OnnxInferencer`; empty for PyTorch.

    Raises:
        ValueError: If another dtype is given for PyTorch.
    """
    if args.runtime in RUNTIMES:
        return dict(runtime=args.runtime, dtype=args.dtype)
    if args.dtype != 'float32':
        raise ValueError(f'--dtype {args.dtype} needs --runtime openvino')
    return {}


def add_model_arguments(parser: argparse._ActionsContainer) -> None:
    """Add ``config`` and ``checkpoint``; see :func:`model_and_weights`."""
    # With parse_intermixed_args they may follow options.
    parser.add_argument(
        'config',
        nargs='?',
        help='config file, or a model name (aios_r50); can be omitted if the '
        'checkpoint contains the config. Without config and checkpoint: '
        'aios_s, the included model. With --runtime onnx or openvino: '
        'an .onnx file',
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint')


def model_and_weights(args: argparse.Namespace) -> tuple[str | None, Any]:
    """Config and checkpoint; a single checkpoint contains its config."""
    if args.config is None:
        return None, None
    if args.checkpoint is None and Path(args.config).suffix in WEIGHTS:
        return None, args.config
    return args.config, args.checkpoint


def add_device_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--device``; without it the value is ``None``."""
    parser.add_argument(
        '--device',
        help='cpu, cuda, cuda:1, mps, ... (default: the best available)',
    )


def add_limits(parser: argparse._ActionsContainer) -> None:
    """Add the filter of persons: ``--score-thr`` and ``--max-persons``."""
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='drop persons with a lower score (default: %(default)s)',
    )
    parser.add_argument(
        '--max-persons',
        type=int,
        metavar='N',
        help='keep at most N persons per image, those with the highest '
        'scores (default: all)',
    )


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('persons')
    add_limits(group)
    group.add_argument(
        '--nms-iou',
        type=float,
        metavar='IOU',
        help='non-maximum suppression: among persons whose boxes overlap '
        'more, keep the one with the highest score; 0.7 helps in videos '
        '(default: as in the config; the published one keeps all)',
    )
    group.add_argument(
        '--tiles',
        type=number(int, 1),
        default=1,
        metavar='N',
        help='for crowds and distant persons: also process images in N x N '
        'overlapping tiles, enlarged (default: %(default)s, the whole image)',
    )
    group.add_argument(
        '--track',
        action='store_true',
        help='assign consistent ids to persons over frames',
    )
    group.add_argument(
        '--smooth',
        action='store_true',
        help='smooth the motion of persons (implies --track)',
    )
    group.add_argument(
        '--fill-gaps',
        type=number(int, 0),
        default=0,
        metavar='FRAMES',
        help='interpolate persons of a video over at most this many frames '
        'without detection; their score is 0 (implies --track)',
    )
    group.add_argument(
        '--ground',
        action='store_true',
        help='put persons on the floor and keep standing feet in place, in '
        'params.npz and the exported files; for videos of a fixed '
        'camera with a given focal length (implies --track)',
    )
    group.add_argument(
        '--largest-person',
        action='store_true',
        help='keep only the largest person (implies --track)',
    )


def _add_camera(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        'camera', 'Intrinsics of the real camera; give only one of them.'
    )
    group.add_argument(
        '--focal-length',
        type=float,
        metavar='PX',
        help='focal length in pixels of the original image',
    )
    group.add_argument(
        '--fov',
        type=float,
        metavar='DEGREES',
        help='horizontal field of view',
    )
    group.add_argument(
        '--intrinsics',
        metavar='FILE',
        help='file with the camera matrix: .npy, .npz, .json or .txt; lens '
        'distortion in a .npz or .json file is removed from the images',
    )
    group.add_argument(
        '--no-exif',
        action='store_true',
        help='ignore the focal length in the EXIF data of images, which is '
        'used if none of the options above is given',
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('results')
    group.add_argument(
        '--out-dir',
        default='outputs/demo',
        help='folder for the results (default: %(default)s)',
    )
    group.add_argument(
        '--no-vis',
        action='store_true',
        help='do not write images with persons drawn on them',
    )
    group.add_argument(
        '--draw',
        nargs='+',
        choices=OVERLAY_LAYERS,
        default=list(DEFAULT_LAYERS),
        metavar='LAYER',
        help='layers to draw: ' + ', '.join(OVERLAY_LAYERS),
    )
    group.add_argument(
        '--views',
        nargs='+',
        choices=VIEWS,
        default=[],
        metavar='VIEW',
        help='additional views to draw: ' + ', '.join(VIEWS),
    )
    for flag, (first, *others) in exporters_by_flag().items():
        text = first.flag_help
        if not others:
            group.add_argument(flag, action='store_true', help=text)
            continue
        group.add_argument(
            flag,
            choices=[first.name, *(other.name for other in others), 'none'],
            default='none',
            help=f'{text} (default: %(default)s)',
        )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add options that select the frames."""
    group = parser.add_argument_group('reading')
    group.add_argument(
        '--recursive', action='store_true', help='also look into sub-folders'
    )
    group.add_argument(
        '--frame-interval',
        type=int,
        default=1,
        metavar='N',
        help='use every N-th frame of a video',
    )
    group.add_argument(
        '--start',
        type=int,
        default=0,
        metavar='FRAME',
        help='first frame of a video, counted from 0',
    )
    group.add_argument(
        '--end',
        type=int,
        metavar='FRAME',
        help='first frame of a video that is no longer read',
    )
    group.add_argument(
        '--fps',
        type=float,
        metavar='N',
        help='the images of a folder are the frames of a video, N per second',
    )


def run_demo(
    description: str | None,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    **defaults: Any,
) -> int:
    """Main function of ``image_demo.py`` and ``video_demo.py``.

    Args:
        description: Text of ``--help``.
        argv: Command line; default: that of the process.
        prog: Name of the program for ``--help``; default: of the file.
        **defaults: Other defaults of options.

    Returns:
        Number of persons found.

    Raises:
        SystemExit: See :func:`aios.apis.exit_codes.run`.
    """
    parser = make_parser(description, prog)
    parser.add_argument(
        'source',
        help='image, video, folder, quoted pattern, or file:// URL',
    )
    add_options(parser)
    add_reading_options(parser)
    add_launcher_option(parser)
    parser.set_defaults(**defaults)
    args, rest = parser.parse_known_intermixed_args(argv)
    for text in (args.config, args.checkpoint, *rest):
        if text and is_media(text):
            parser.error(
                f'{text} is a second source. Name a folder, or quote a '
                "pattern, such as 'shots/*.png'"
            )
    if rest:
        parser.error(f'unrecognized arguments: {" ".join(rest)}')
    return run(lambda: _run_demo(args).persons, args.out_dir)


def _run_demo(args: argparse.Namespace) -> Summary:
    sources = open_sources(
        args.source,
        recursive=args.recursive,
        frame_interval=args.frame_interval,
        start=args.start,
        end=args.end,
        fps=args.fps,
        without=args.out_dir,
    )
    dist = DistContext.join() if args.launcher == 'pytorch' else DistContext()
    summary = run_inference(
        make_inferencer(args, dist),
        sources,
        args.out_dir,
        outputs=make_outputs(args),
        processing=make_processing(args),
        overwrite=args.overwrite,
        resume=args.resume,
        dist=dist,
    )
    if dist.is_main:
        report(summary, args)
    return summary


def make_outputs(args: argparse.Namespace) -> Outputs:
    """The output files of the options of :func:`add_options`."""
    return Outputs(
        vis=not args.no_vis,
        layers=args.draw,
        views=args.views,
        formats=[
            exporter.name
            for flag, exporters in exporters_by_flag().items()
            for exporter in exporters
            if _value(args, flag) in (True, exporter.name)
        ],
    )


def _value(args: argparse.Namespace, flag: str) -> Any:
    return getattr(args, flag.lstrip('-').replace('-', '_'))


def make_processing(args: argparse.Namespace) -> PostProcessing:
    """The post-processing of the options of :func:`add_options`."""
    names = (field.name for field in fields(PostProcessing))
    return PostProcessing(**{name: getattr(args, name) for name in names})


def make_inferencer(
    args: argparse.Namespace, dist: DistContext | None = None
) -> Inferencer:
    """The inferencer of the options of :func:`add_options`."""
    dist = dist or DistContext()
    options: dict[str, Any] = dict(
        score_thr=args.score_thr,
        max_persons=args.max_persons,
        nms_iou=args.nms_iou,
        focal_length=args.focal_length,
        fov=args.fov,
        intrinsics=args.intrinsics,
        exif=not args.no_exif,
        batch_size=args.batch_size,
        tiles=args.tiles,
        show_progress=dist.is_main,
    )
    model, weights = model_and_weights(args)
    if runtime := runtime_options(args):
        if weights is not None or args.cfg_options:
            raise ValueError(
                f'--runtime {args.runtime} takes one .onnx file, without a '
                'checkpoint and --cfg-options; python -m aios export '
                'creates it'
            )
        path = None if model == SHIPPED_MODEL else model
        device = dist.device(args.device or 'cpu')
        return OnnxInferencer(path, device, **options, **runtime)
    try:
        from .inferencer import AiOSInferencer
    except ImportError as error:
        raise ValueError(
            f'{error}. Install the extras aios[torch] and aios[mminstall], or '
            'use --runtime onnx (docs/en/runtime.md)'
        ) from error

    return AiOSInferencer(
        model,
        weights,
        dist.device(args.device),
        cfg_options=args.cfg_options,
        **options,
    )


def report(summary: Summary, args: argparse.Namespace) -> None:
    """Print a summary, and fail if something could not be read."""
    if summary.was_complete:
        print(f'{args.out_dir} is complete already')  # noqa: T201
    else:
        where = f', results: {args.out_dir}' if args.out_dir else ''
        print(  # noqa: T201
            f'persons: {summary.persons}, frames: {summary.frames}{where}'
        )
    if not (summary.persons or summary.was_complete):
        print(  # noqa: T201
            f'no person has a score of at least {args.score_thr} (--score-thr)'
        )
    for note in summary.notes:
        print(note)  # noqa: T201
    if summary.problems:
        text = '\n  '.join(summary.problems)
        fail(f'these inputs could not be read, all others are done:\n  {text}')
