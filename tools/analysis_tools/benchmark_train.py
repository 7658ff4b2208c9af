#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure the training step of a detector, in total and by phase.

With ``--compare`` several detectors are measured alternately in one process,
so that other load on the machine affects all; all get the same images and
persons. Without ``--data`` images are noise and persons are random. With
``--data`` all detectors train on the images of that config, loaded in the same
process; the datasets of the other configs are not used.

Example:
    python tools/analysis_tools/benchmark_train.py configs/aios/aios_r50.py \
        --compare mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py \
        --shape 256 320 --threads 1 --clock cpu \
        --cfg-options model.bbox_head.body_model.model_path=free
    python tools/analysis_tools/benchmark_train.py configs/aios/aios_r50.py \
        --data configs/aios/aios_nano_2xb16_quickstart.py --batch-size 2 \
        --cfg-options model.bbox_head.body_model.model_path=free
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn

from aios.engine.profiling import (
    PHASES,
    PhaseMeter,
    autocast_to,
    make_batch,
    make_clock,
)
from aios.registry import MODELS, register_all_modules
from aios.structures import GT_FIELDS
from aios.utils.command_line import (
    add_cfg_options,
    add_config_argument,
    add_dtype_option,
    add_json_option,
    add_measuring_options,
    add_shape_option,
    comparison_table,
    config_title,
    errors_in_one_line,
    make_parser,
    number,
    options_by_config,
    read_config,
)
from aios.utils.json_record import write_record
from aios.utils.memory import peak_memory, start_memory

FORWARD = ('backbone', 'neck', 'encoder', 'query selection', 'decoder')
# `loss` of a head is its branches, and then the matching and the losses.
STEP_PHASES = {name: PHASES[name] for name in FORWARD} | {
    'heads': [('bbox_head', 'loss')],
    'criterion': [
        ('bbox_head.criterion', 'match'),
        ('bbox_head', 'pose_joints'),
        ('bbox_head.criterion', 'forward'),
        ('bbox_head', 'loss_by_feat'),
    ],
}
SEED = 0
# Gradients count, and the state of the optimizer when it is made.
MEMORY = 'peak beyond weights and optimizer, MiB'
WAITS = 'waits for the device'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument(
        '--compare',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='configs of other detectors; --cfg-options apply to all configs '
        'in the same package',
    )
    add_shape_option(parser, default=(256, 320))
    parser.add_argument(
        '--data',
        metavar='CONFIG',
        help='take images from the train_dataloader of this config',
    )
    parser.add_argument(
        '--data-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change the config of --data',
    )
    parser.add_argument('--batch-size', type=number(int, 1), default=2)
    parser.add_argument(
        '--persons', type=number(int, 0), default=4, help='persons per image'
    )
    add_dtype_option(parser)
    add_measuring_options(parser)
    add_cfg_options(parser)
    add_json_option(parser)
    return parser.parse_args(argv)


def build_model(config: Config, device: str) -> nn.Module:
    """A detector with random weights, in training mode."""
    scope = config.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config.model).to(device).train()


def make_persons(count: int, shape: tuple[int, int], person: int) -> Any:
    """Ground truth of an image: everything valid, boxes by chance.

    Args:
        count: Number of persons.
        shape: Height and width of the image.
        person: Class of persons.
    """
    height, width = shape
    size = torch.tensor([width, height, width, height])
    persons = InstanceData()
    for name, field in GT_FIELDS.items():
        persons[name] = torch.ones(count, *field.shape, dtype=field.dtype)
        if name.endswith('bboxes'):
            corners = torch.rand(count, 2, 2).sort(dim=1).values
            persons[name] = corners.flatten(1) * size
    persons.keypoints *= torch.rand(count, 1, 2) * size[:2]
    persons.keypoints3d = torch.randn_like(persons.keypoints3d)
    persons.labels = torch.full((count,), person)
    return persons


class Step:
    """One training step, measured.

    Args:
        config: Of AiOS, whose configs have a fused optimizer, or of a
            detector of MMDetection, whose configs have not.
        args: The command line.
    """

    def __init__(self, config: Config, args: argparse.Namespace) -> None:
        self.model: Any = build_model(config, args.device)
        fused = config.get('default_scope') == 'aios'
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-5, fused=fused or None
        )
        self.device = args.device
        self.dtype = args.dtype
        self.read = make_clock(args.clock, args.device)
        self.meter = PhaseMeter(self.model, self.read, STEP_PHASES)
        self.batches = self._batches(args)
        self.records: list[dict[str, float]] = []
        self.waits: list[str] = []

    def _batches(
        self, args: argparse.Namespace
    ) -> Iterator[tuple[Tensor, list[DetDataSample]]]:
        # COCO's 80 classes begin with persons, ours with the background.
        label = 0 if self.model.bbox_head.num_classes > 2 else 1
        if args.data:
            yield from self._load(args, label)
        torch.manual_seed(SEED)
        images = torch.randn(args.batch_size, 3, *args.shape)
        inputs, samples = make_batch(images, args.device)
        for sample in samples:
            persons = make_persons(args.persons, args.shape, label)
            sample.gt_instances = persons.to(args.device)
        while True:
            yield inputs, samples

    def _load(
        self, args: argparse.Namespace, label: int
    ) -> Iterator[tuple[Tensor, list[DetDataSample]]]:
        config = read_config(args.data, args.data_options)
        loader = config.train_dataloader
        loader.update(
            batch_size=args.batch_size, num_workers=0, persistent_workers=False
        )
        scope = config.get('default_scope', 'aios')
        with DefaultScope.overwrite_default_scope(scope):
            batches = Runner.build_dataloader(loader, seed=SEED)
        while True:
            for batch in batches:
                data = self.model.data_preprocessor(batch, training=True)
                for sample in data['data_samples']:
                    sample.gt_instances.labels.fill_(label)
                yield data['inputs'], data['data_samples']

    def look_closer(self) -> None:
        """Add phases and synchronizations of one more run."""
        records, self.records = self.records, []
        self()
        self.records = [self.records[0] | record for record in records]

    def __call__(self, in_detail: bool = True) -> None:
        """Run once.

        Args:
            in_detail: With phases, for which a GPU stops often.
        """
        torch.manual_seed(SEED)
        memory = start_memory(self.device)
        watched = waits_for_device(self.device)
        with watched if in_detail else contextlib.nullcontext() as waits:
            record = self._run(in_detail)
        if waits is not None:
            record[WAITS] = len(waits)
            self.waits = waits
        peak = peak_memory(self.device, memory)
        if peak is not None:
            record[MEMORY] = peak
        self.records.append(record)

    def _run(self, in_detail: bool) -> dict[str, float]:
        autocast = autocast_to(self.dtype, self.device)
        measured = self.meter.measure()
        if not in_detail:
            measured = contextlib.nullcontext({})
        with measured as phases, autocast:
            begin = self.read()
            batch = next(self.batches)
            loaded = self.read()
            losses = self.model(*batch, mode='loss')
            loss, _ = self.model.parse_losses(losses)
            forward = self.read()
        loss.backward()
        backward = self.read()
        self.optimizer.step()
        self.optimizer.zero_grad()
        end = self.read()
        return {
            'step': end - begin,
            '– data': loaded - begin,
            **{f'– {name}': spent for name, spent in phases.items()},
            '– backward': backward - forward,
            '– optimizer': end - backward,
        }


@contextlib.contextmanager
def waits_for_device(device: str) -> Iterator[list[str] | None]:
    """Note where Python waits for a CUDA device; other devices do not tell.

    Yields:
        ``file:line`` of each time, complete after the block; or ``None``.
    """
    if torch.device(device).type != 'cuda':
        yield None
        return
    places: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places += [
        f'{Path(seen.filename).name}:{seen.lineno}'
        for seen in caught
        if 'synchronizing CUDA operation' in str(seen.message)
    ]


def title_of(name: str, config: Config) -> str:
    """Title of the column of a detector."""
    title = config_title(name)
    parts = [config.model.get(part, {}) for part in ('encoder', 'decoder')]
    if any(part.get('num_cp', 0) > 0 for part in parts):
        title += ', activations computed twice'
    return title


def show(name: str, number: float) -> str:
    """A cell of the table."""
    return f'{number:.{0 if name in (MEMORY, WAITS) else 3}f}'


def describe(args: argparse.Namespace) -> str:
    """Description of a batch."""
    if args.data:
        return f'{args.batch_size} images of {args.data}'
    return (
        f'{args.batch_size} images of {args.shape[0]}x{args.shape[1]} with '
        f'{args.persons} persons each'
    )


def build_steps(args: argparse.Namespace) -> dict[str, Step]:
    """Steps of all detectors, by what their columns are called.

    Raises:
        SystemExit: Two would be called the same.
    """
    register_all_modules()
    names = [args.config, *args.compare]
    steps: dict[str, Step] = {}
    for name, options in zip(
        names, options_by_config(names, args.cfg_options), strict=True
    ):
        config = read_config(name, options)
        title = title_of(name, config)
        if title in steps:
            raise SystemExit(f'--compare: {title} is given twice')
        steps[title] = Step(config, args)
    return steps


@errors_in_one_line()
def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure; returns the table's columns."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    # MMEngine logs the data it reads.
    with contextlib.redirect_stdout(sys.stderr):
        steps = build_steps(args)
        on_cpu = torch.device(args.device).type == 'cpu'
        for _ in range(args.warmup + args.repeats):
            for step in steps.values():
                step(in_detail=on_cpu)
        for step in [] if on_cpu else steps.values():
            step.look_closer()
    columns = {}
    for title, step in steps.items():
        kept = step.records[args.warmup :]
        fastest = min(kept, key=lambda record: record['step'])
        median = statistics.median(record['step'] for record in kept)
        columns[title] = {'median step': median, **fastest}
    print(
        f'{describe(args)}, {args.device}, '
        f'{torch.get_num_threads()} threads, {args.dtype}, '
        f'{args.repeats} steps, '
        f'{args.clock} clock; phases of the fastest'
        f'{"; ratios to the last" if len(columns) > 2 else ""}\n\n'
        + comparison_table('seconds, or as said', columns, show)
    )
    for title, step in steps.items():
        if step.waits:
            print(f'\n{title} waits for the device in {", ".join(step.waits)}')
    if args.json:
        write_record(args.json, columns)
    return columns


if __name__ == '__main__':
    main()
