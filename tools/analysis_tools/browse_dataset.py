# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Draw the labels of a dataset on its images.

Writes one image per sample (boxes and skeletons on the left, body meshes
on the right) and a contact sheet of all samples. Needs no display.

Example:
    python tools/analysis_tools/browse_dataset.py \
        configs/_base_/datasets/synthetic.py -n 12 --output-dir outputs/look
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import set_random_seed
from mmengine.structures import BaseDataElement, InstanceData
from tqdm import tqdm

from aios.body_models import MissingBodyModelError, find_body_model
from aios.datasets.configured import (
    add_dataset_arguments,
    build_dataset,
    dataset_config,
)
from aios.registry import TRANSFORMS
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    number,
    read_config,
)
from aios.utils.openmmlab import type_name
from aios.visualization import (
    contact_sheet,
    write_image,
)
from aios.visualization.local_visualizer import WholeBodyVisualizer

SHEET = 'contact_sheet.jpg'
MAX_ON_SHEET = 48
CELL_HEIGHT = 300
SNAPSHOTS = 'browse_snapshots'


class Sample(NamedTuple):
    """An image with labels, at some step of the pipeline.

    Args:
        step: Name of the step.
        inputs: (3, H, W) BGR, 0 to 255.
        data_sample: Labels in pixels of this image.
    """

    step: str
    inputs: torch.Tensor
    data_sample: BaseDataElement


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_dataset_arguments(parser)
    parser.add_argument(
        '--output-dir',
        type=Path,
        help='output folder (default: outputs/browse/<config name>)',
    )
    parser.add_argument(
        '--mode',
        choices=['original', 'transformed', 'pipeline'],
        default='transformed',
        help='original: annotated image; transformed: input of the model; '
        'pipeline: output of each step of the pipeline',
    )
    parser.add_argument(
        '-n',
        '--number',
        type=number(int, -1),
        default=16,
        help='number of samples to draw, spread over the dataset; -1: all',
    )
    parser.add_argument(
        '--mesh',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='draw body meshes (needs a camera and translations)',
    )
    parser.add_argument(
        '--body-model',
        metavar='PATH',
        help="SMPL-X file or folder, or 'free'; default: `body_model` of the "
        "config's visualizer, else of the dataset's metainfo, else installed "
        'SMPL-X files, else the free body',
    )
    parser.add_argument(
        '--columns', type=number(int, 1), help='columns of the contact sheet'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the random transforms'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='allow an output folder that is not empty',
    )
    parser.add_argument(
        '--show',
        action=argparse.BooleanOptionalAction,
        default=False,
        help='also show each sample in a window (needs a display)',
    )
    parser.add_argument(
        '--not-show',
        dest='show',
        action='store_false',
        help='same as --no-show',
    )
    parser.add_argument(
        '--show-interval',
        type=float,
        default=2,
        help='seconds to show each sample (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    if not args.number:
        parser.error('-n must be positive or -1, got 0')
    return args


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    output_dir = args.output_dir or Path(
        'outputs', 'browse', Path(args.config).stem
    )
    check_output_dir(output_dir, args.overwrite)
    config = read_config(args.config, args.cfg_options)
    set_random_seed(args.seed)

    settings = dataset_settings(config, args.phase, args.mode)
    dataset = build_dataset(config, settings)
    visualizer = build_visualizer(config, dataset.metainfo, args)
    browse(dataset, visualizer, output_dir, args)


def browse(
    dataset: Any,
    visualizer: WholeBodyVisualizer,
    output_dir: Path,
    args: argparse.Namespace,
) -> None:
    """Draw samples and the contact sheet, and print their paths."""
    indices = spread(len(dataset), args.number)
    if not indices:
        sys.exit('error: the dataset is empty')
    thumbnails, titles, without_camera = [], [], 0
    for index in tqdm(indices, desc='browse', unit='image'):
        samples = samples_of(dataset[index])
        meta = samples[0].data_sample.metainfo
        persons = samples[0].data_sample.get('gt_instances', ())
        without_camera += 'cam_K' not in meta and 'cameras' not in persons
        title = f'{index:06d}_{Path(meta.get("img_path", "")).stem}'
        drawn = draw(visualizer, samples)
        path = output_dir / f'{title}.jpg'
        write_image(drawn, path, overwrite=args.overwrite)
        if args.show:
            visualizer.show(drawn, title, wait_time=args.show_interval)
        if len(thumbnails) < MAX_ON_SHEET:
            thumbnails.append(shrink(drawn))
            titles.append(title)
    sheet = make_sheet(thumbnails, titles, args.columns)
    write_image(sheet, output_dir / SHEET, overwrite=args.overwrite)

    print(f'{len(indices)} of {len(dataset)} images: {output_dir}')
    print(f'contact sheet of {len(titles)} samples: {output_dir / SHEET}')
    if args.mesh and without_camera:
        print(
            f'{without_camera} images have no camera, so no meshes are drawn'
        )


def check_output_dir(output_dir: Path, overwrite: bool) -> None:
    """Reject a folder that is not empty."""
    if output_dir.exists() and not output_dir.is_dir():
        sys.exit(f'error: {output_dir} is a file; choose another --output-dir')
    if output_dir.is_dir() and any(output_dir.iterdir()) and not overwrite:
        sys.exit(
            f'error: {output_dir} is not empty; choose another --output-dir, '
            'or add --overwrite to replace images of the same name'
        )


def dataset_settings(config: Config, phase: str | None, mode: str) -> Any:
    """Config of the dataset of a phase, with the pipeline for ``mode``."""
    settings = dataset_config(config, phase)
    change = {
        'original': without_augmentation,
        'transformed': None,
        'pipeline': with_snapshots,
    }[mode]
    return settings if change is None else change_pipelines(settings, change)


def change_pipelines(
    config: Any, change: Callable[[list[dict]], list[dict]]
) -> Any:
    """Copy of a dataset's config with all pipelines in it changed.

    Wrappers such as ``ConcatDataset`` have pipelines at any depth.
    """
    if isinstance(config, dict):
        return ConfigDict(
            {
                key: change(value)
                if key == 'pipeline'
                else change_pipelines(value, change)
                for key, value in config.items()
            }
        )
    if isinstance(config, (list, tuple)):
        return [change_pipelines(value, change) for value in config]
    return config


def without_augmentation(pipeline: list[dict]) -> list[dict]:
    """Keep only the steps that load and pack."""
    return [
        step
        for step in pipeline
        if type_name(step).startswith(('Load', 'Pack'))
    ]


def with_snapshots(pipeline: list[dict]) -> list[dict]:
    """Insert a snapshot after each step, instead of packing."""
    pack = {'type': 'PackWholeBodyInputs'}
    steps: list[dict] = []
    for step in pipeline:
        if type_name(step).startswith('Pack'):
            pack = step
            continue
        steps.append(step)
        steps.append({'type': 'TakeSnapshot', 'step': type_name(step)})
    for step in steps:
        if step['type'] == 'TakeSnapshot':
            step['pack'] = pack
    return steps


@TRANSFORMS.register_module(force=True)
class TakeSnapshot:
    """Pack a copy of the current state."""

    def __init__(self, step: str, pack: dict) -> None:
        self.step = step
        self.pack = TRANSFORMS.build(pack)

    def __call__(self, results: dict) -> dict:
        """Append a :class:`Sample` once there are image and labels."""
        if 'img' in results and 'gt_persons' in results:
            packed = self.pack(dict(results))
            sample = Sample(
                self.step, packed['inputs'], packed['data_samples']
            )
            results.setdefault(SNAPSHOTS, []).append(sample)
        return results


def samples_of(item: dict) -> list[Sample]:
    """Samples to draw of an item of the dataset."""
    if SNAPSHOTS in item:
        return item[SNAPSHOTS]
    if 'inputs' not in item:
        raise ValueError(
            'the pipeline of the dataset must end with PackWholeBodyInputs'
        )
    return [Sample('packed', item['inputs'], item['data_samples'])]


def build_visualizer(
    config: Config, metainfo: dict, args: argparse.Namespace
) -> WholeBodyVisualizer:
    """A visualizer with the config's settings and panels for browsing."""
    settings = dict(config.get('visualizer') or {})
    if type_name(settings) != 'WholeBodyVisualizer':
        settings = {}
    settings.pop('type', None)
    # Backends are for logs of training; images go to files here. And made
    # by hand it is no singleton, which building from a config would give.
    settings |= {'vis_backends': None, 'panels': [['boxes', 'skeletons']]}
    if args.mesh:
        settings['panels'].append(['mesh'])
        settings['body_model'] = choose_body_model(
            args.body_model, settings, metainfo
        )
        print(f'body model: {settings["body_model"].get("model_path")}')
    return WholeBodyVisualizer(**settings)


def choose_body_model(
    path: str | None, settings: dict, metainfo: dict
) -> dict:
    """Config of the body model: see the option's help for the order."""
    if path is None:
        for known in (settings, metainfo):
            if known.get('body_model'):
                return dict(known['body_model'])
        try:
            path = str(find_body_model(None).parent)
        except MissingBodyModelError:
            path = 'free'
    return {'type': 'SMPLXLayer', 'model_path': path}


def spread(length: int, number: int) -> list[int]:
    """``number`` indices at equal distances, or all."""
    if number < 0 or number >= length:
        return list(range(length))
    return np.linspace(0, length - 1, number).round().astype(int).tolist()


def draw(visualizer: WholeBodyVisualizer, samples: list[Sample]) -> np.ndarray:
    """Draw one sample, steps of a pipeline side by side in rows of two."""
    images = [
        visualizer.draw_persons(
            rgb(sample.inputs),
            sample.data_sample.get('gt_instances', InstanceData()),
            sample.data_sample.metainfo.get('cam_K'),
        )
        for sample in samples
    ]
    if len(images) == 1:
        return images[0]
    return contact_sheet(
        images,
        columns=2,
        cell_size=images[0].shape[:2],
        captions=[sample.step for sample in samples],
    )


def rgb(inputs: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a (3, H, W) BGR tensor."""
    image = inputs.permute(1, 2, 0).numpy()[..., ::-1]
    return np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))


def shrink(image: np.ndarray) -> np.ndarray:
    """Image as high as a cell of the contact sheet."""
    width = max(1, round(image.shape[1] * CELL_HEIGHT / image.shape[0]))
    size = width, CELL_HEIGHT
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def make_sheet(
    thumbnails: list[np.ndarray], titles: list[str], columns: int | None
) -> np.ndarray:
    """Contact sheet with cells as wide as the widest image."""
    if columns is None and thumbnails[0].shape[1] > 2 * CELL_HEIGHT:
        # Panels make wide images: fewer columns give a squarer sheet.
        columns = max(1, round(math.sqrt(len(thumbnails) / 2)))
    width = max(thumbnail.shape[1] for thumbnail in thumbnails)
    return contact_sheet(thumbnails, columns, (CELL_HEIGHT, width), titles)


if __name__ == '__main__':
    main()
