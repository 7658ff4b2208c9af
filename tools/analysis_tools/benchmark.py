# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure speed and memory of a detector, in total and by phase.

With ``--compare`` two detectors process the same images alternately in one
process, so that other load on the machine affects both. Weights are random
and images are noise; this does not affect the cost, because
``test_cfg.max_per_img`` persons are returned regardless of their scores.

Example:
    python tools/analysis_tools/benchmark.py configs/aios/aios_r50.py \
        --compare mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py --threads 2
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from aios.engine.profiling import (
    PHASES,
    PhaseMeter,
    autocast_to,
    build_detector,
    make_batch,
    make_clock,
)
from aios.models.inference import prepare_for_inference
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
from aios.utils.memory import MIB, peak_memory, start_memory

MATRIX_SIZE = 2048  # of the matrices whose product is timed
COMPILERS: dict[str, dict[str, Any]] = {
    'inductor': dict(backend='inductor'),
    'cudagraphs': dict(backend='cudagraphs'),
    'reduce-overhead': dict(mode='reduce-overhead'),
    'eager': dict(backend='eager'),
}


@dataclass
class Subject:
    """A detector and its measurements.

    Args:
        name: Its config.
        title: What its column is called.
        model: The detector.
        meter: Clocks its phases.
        seconds: Time of each run.
        phases: Seconds of each phase, of each run.
        memory: Largest memory of a run beyond the weights, MiB; ``None``
            where the system does not tell.
    """

    name: str
    title: str
    model: nn.Module
    meter: PhaseMeter
    seconds: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    memory: list[float | None] = field(default_factory=list)

    @property
    def weights(self) -> float:
        """Parameters and buffers, MiB."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum(t.numel() * t.element_size() for t in tensors) / MIB

    def forget(self) -> None:
        """Discard all measurements."""
        self.seconds, self.phases, self.memory = [], [], []


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument(
        '--compare',
        help='config of a second detector, measured without inference '
        'preparation. --cfg-options apply to both if their configs are '
        'in the same package',
    )
    add_shape_option(parser)
    parser.add_argument(
        '--batch-sizes', type=number(int, 1), nargs='+', default=[1]
    )
    add_dtype_option(parser)
    add_measuring_options(parser)
    parser.add_argument(
        '--plain',
        action='store_true',
        help='do not prepare CONFIG for inference (default: prepare it as '
        'AiOSInferencer does)',
    )
    parser.add_argument(
        '--compile',
        choices=COMPILERS,
        help='compile CONFIG with torch.compile, up to the decoder states, '
        'and measure no phases. reduce-overhead: inductor with CUDA '
        'graphs; eager: trace only, for tests',
    )
    add_cfg_options(parser)
    add_json_option(parser)
    return parser.parse_args(argv)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    # MMEngine logs initialized weights, and keeps the stream it logs to.
    with contextlib.redirect_stdout(sys.stderr):
        subjects = make_subjects(args)
    noise = torch.Generator().manual_seed(0)
    image = torch.randn(3, *args.shape, generator=noise)
    print(describe_machine(args))
    results = []
    for batch_size in args.batch_sizes:
        run_in_turns(subjects, image.expand(batch_size, -1, -1, -1), args)
        print(f'\n{table(subjects, batch_size)}', flush=True)
        results += [to_dict(subject, batch_size) for subject in subjects]
    print(f'\nMatrix products: {matrix_rate(args):.0f} GFLOP/s, same clock')
    if args.json:
        write_record(args.json, results)


def make_subjects(args: argparse.Namespace) -> list[Subject]:
    """Build the detectors."""
    names = [args.config] + ([args.compare] if args.compare else [])
    options = options_by_config(names, args.cfg_options)
    subjects: list[Subject] = []
    for name, changes in zip(names, options, strict=True):
        model = build_detector(read_config(name, changes), args.device)
        title = config_title(name)
        if not subjects and not args.plain:
            prepare_for_inference(model)
        elif subjects and title == subjects[0].title:
            title += ', again' if args.plain else ', as built'
        phases = PHASES
        if args.compile and not subjects:
            compile_network(model, args.compile)
            phases, title = {}, f'{title}, {args.compile}'
        clock = make_clock(args.clock, args.device)
        meter = PhaseMeter(model, clock, phases)
        subjects.append(Subject(name, title, model, meter))
    return subjects


def compile_network(model: nn.Module, compiler: str) -> None:
    """Compile the network up to the head.

    Args:
        model: A detector of MMDetection with a transformer; changed.
        compiler: A name of :data:`COMPILERS`.
    """
    for name in ('extract_feat', 'forward_transformer'):
        function = torch.compile(
            getattr(model, name), dynamic=False, **COMPILERS[compiler]
        )
        setattr(model, name, function)


def matrix_rate(args: argparse.Namespace) -> float:
    """Highest measured GFLOP/s of a linear layer, an upper bound."""
    read = make_clock(args.clock, args.device)
    options = dict(device=args.device, dtype=getattr(torch, args.dtype))
    size = MATRIX_SIZE
    layer = nn.Linear(size, size, **options)
    x = torch.randn(size, size, **options)
    seconds = []
    with torch.inference_mode():
        for _ in range(5):
            start = read()
            layer(x)
            seconds.append(read() - start)
    return 2 * size**3 / min(seconds) / 1e9


def run_in_turns(
    subjects: list[Subject], images: Tensor, args: argparse.Namespace
) -> None:
    """Run all detectors alternately.

    Phases of a GPU come from one more run: their clock waits for it.
    """
    on_cpu = torch.device(args.device).type == 'cpu'
    for index in range(args.warmup + args.repeats):
        for subject in subjects:
            if index in (0, args.warmup):
                subject.forget()
            run(subject, images, args, with_phases=on_cpu)
    for subject in [] if on_cpu else subjects:
        seconds, memory = subject.seconds, subject.memory
        subject.forget()
        run(subject, images, args, with_phases=True)
        subject.phases *= len(seconds)
        subject.seconds, subject.memory = seconds, memory


def run(
    subject: Subject,
    images: Tensor,
    args: argparse.Namespace,
    with_phases: bool,
) -> None:
    """Run once and record time and memory."""
    inputs, samples = make_batch(images, args.device)
    autocast = autocast_to(args.dtype, args.device)
    read = subject.meter.read
    before = start_memory(args.device)
    meter = (
        subject.meter.measure() if with_phases else contextlib.nullcontext({})
    )
    with torch.inference_mode(), autocast, meter as phases:
        start = read()
        subject.model(inputs, samples, mode='predict')
        subject.seconds.append(read() - start)
    subject.phases.append(phases)
    subject.memory.append(peak_memory(args.device, before))


def to_dict(subject: Subject, batch_size: int) -> dict[str, Any]:
    """All measurements of a detector."""
    return dict(
        config=subject.name,
        batch_size=batch_size,
        seconds=subject.seconds,
        phases=subject.phases,
        memory_mib=subject.memory,
        weights_mib=subject.weights,
    )


def summarize(subject: Subject, batch_size: int) -> dict[str, float]:
    """Rows of the table."""
    fastest = min(subject.seconds)
    rows = {
        'median, s': statistics.median(subject.seconds),
        'fastest, s': fastest,
    }
    phases = subject.phases[subject.seconds.index(fastest)]
    rows |= {f'– {phase}, s': spent for phase, spent in phases.items()}
    rows['images per s'] = batch_size / fastest
    rows['weights, MiB'] = subject.weights
    memory = [number for number in subject.memory if number is not None]
    if memory:
        rows['peak beyond weights, MiB'] = max(memory)
        rows['peak, MiB'] = max(memory) + subject.weights
    return rows


def table(subjects: list[Subject], batch_size: int) -> str:
    """Table with a column for each detector, and their ratio."""
    columns = {s.title: summarize(s, batch_size) for s in subjects}
    return comparison_table(f'batch size {batch_size}', columns, show)


def show(_: str, number: float) -> str:
    """A cell of the table."""
    return f'{number:.3f}' if number < 100 else f'{number:.0f}'


def describe_machine(args: argparse.Namespace) -> str:
    """Hardware and versions."""
    device = f'{platform.machine()} CPU, {torch.get_num_threads()} threads'
    if torch.device(args.device).type == 'cuda':
        device = torch.cuda.get_device_name(args.device)
    height, width = args.shape
    return (
        f'{device}, torch {torch.__version__}, {args.dtype}, '
        f'{height}x{width}, {args.repeats} runs each, {args.clock} clock; '
        'phases of the fastest run'
    )


if __name__ == '__main__':
    main()
