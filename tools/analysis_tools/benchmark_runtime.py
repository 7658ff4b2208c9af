#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure aios.runtime as a function of image size and number of persons.

Reports the CPU time of one thread, the minimum of several runs. The cost per
person is measured with copies of the best candidate in a synthetic image,
because the number of candidates is limited (``aios_s`` has ten).

Example:
    python -m aios export aios_s.onnx
    python tools/analysis_tools/benchmark_runtime.py aios_s.onnx \
        --figure outputs/runtime_cost.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from aios.body_models import BodyPoser
from aios.runtime import OnnxDetector
from aios.structures import PERSON_LABEL
from aios.synthetic import (
    BodyBank,
    SceneOptions,
    render_scene,
    sample_scene,
)
from aios.utils.command_line import (
    errors_in_one_line,
    image_size,
    make_parser,
    markdown_table,
    number,
)
from aios.utils.safe_io import atomic_write

IMAGE_SIZE = 640, 480  # that persons are drawn into
Costs = dict[str, dict[int, float]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'files',
        nargs='+',
        metavar='[NAME=]FILE',
        help='files of `python -m aios export`; files with the same NAME '
        'differ in image size and share a curve',
    )
    parser.add_argument(
        '--sizes',
        type=image_size,
        nargs='+',
        default=[(320, 240), (384, 288), (512, 384), (640, 480)],
        help='width and height of the images, for files with dynamic sizes',
    )
    parser.add_argument(
        '--persons', type=number(int, 0), nargs='+', default=[1, 5, 20]
    )
    parser.add_argument('--repeats', type=number(int, 1), default=6)
    parser.add_argument(
        '--figure', type=Path, help='.png or .svg file; replaced if it exists'
    )
    return parser.parse_args(argv)


def fastest(call: Callable[[], object], repeats: int) -> float:
    """Milliseconds of processor time, after one run that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1000 * min(times[1:])


def draw_person() -> np.ndarray:
    """An image of one person, ``(H, W, 3)`` uint8 BGR."""
    rng, bank = np.random.default_rng(0), BodyBank()
    options = SceneOptions(*IMAGE_SIZE, persons=(1, 1), fill=(0.6, 0.7))
    scene = sample_scene(rng, bank, options)
    return render_scene(rng, scene, bank).image[..., ::-1]


def network_costs(
    detectors: Sequence[tuple[str, OnnxDetector]],
    image: np.ndarray,
    sizes: Sequence[tuple[int, int]],
    repeats: int,
) -> Costs:
    """Of the network by name and number of pixels; files take turns."""
    costs: Costs = {name: {} for name, _ in detectors}
    for size in sizes:
        for name, detector in detectors:
            fixed = detector.description['size']
            if fixed is not None and fixed[::-1] != size:
                continue
            pixels = cv2.resize(image, size).transpose(2, 0, 1)
            batch = [np.ascontiguousarray(pixels, np.float32)]
            costs[name][size[0] * size[1]] = fastest(
                lambda run=detector.run, batch=batch: run(batch), repeats
            )
    return costs


def person_costs(
    detector: OnnxDetector,
    image: np.ndarray,
    counts: Sequence[int],
    repeats: int,
) -> Costs:
    """What comes after the network, by part and number of persons."""
    # Drawing needs OpenCV 5.
    from aios.visualization import OverlayDrawer

    prepared = detector.prepare(image)
    (outputs,) = detector.run([prepared])
    best = outputs['logits'][:, PERSON_LABEL].argmax()
    draw = OverlayDrawer(detector.body_model.faces)
    poser = BodyPoser(detector.body_model)
    costs: Costs = {'choose and fit': {}, 'meshes': {}, 'draw': {}}
    for count in counts:
        copies = {k: v[[best] * count] for k, v in outputs.items()}
        config = replace(
            detector.test_cfg,
            max_per_img=count,
            score_thr=0.0,
            nms_iou_thr=-1.0,
            nms_oks_thr=-1.0,
            nms_head_thr=-1.0,
            person_class_only=True,
        )

        def find(copies=copies, config=config):
            return detector.decode(
                copies, prepared, '', IMAGE_SIZE, test_cfg=config
            )

        found = find()
        if len(found) != count:
            raise RuntimeError(f'{len(found)} of {count} copies were selected')
        posed = found.posed(poser)
        for part, call in (
            ('choose and fit', find),
            ('meshes', lambda found=found: found.posed(poser)),
            ('draw', lambda posed=posed: draw(posed, image)),
        ):
            costs[part][count] = fastest(call, repeats)
    return costs


def make_figure(networks: Costs, persons: Costs) -> Figure:
    """Plot both costs as curves, milliseconds."""
    figure = Figure(figsize=(9, 3.6), dpi=100, layout='constrained')
    left, right = figure.subplots(1, 2)
    for name, by_size in networks.items():
        left.plot(
            [pixels / 1000 for pixels in by_size],
            list(by_size.values()),
            marker='o',
            label=name,
        )
    left.set(title='Network', xlabel='thousand pixels')
    counts = list(next(iter(persons.values())))
    right.stackplot(
        counts,
        [list(by_count.values()) for by_count in persons.values()],
        labels=list(persons),
        alpha=0.8,
    )
    right.set(title='After the network', xlabel='persons', xticks=counts)
    for axes in (left, right):
        axes.set(ylabel='ms, processor time')
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc='upper left')
    return figure


def tables(networks: Costs, persons: Costs) -> str:
    """Both costs as Markdown tables."""
    blocks = []
    for title, costs in (('pixels', networks), ('persons', persons)):
        numbers = sorted({n for column in costs.values() for n in column})
        rows = [[f'ms by {title}', *costs]]
        for size in numbers:
            cells = (column.get(size) for column in costs.values())
            shown = ('' if x is None else f'{x:.1f}' for x in cells)
            rows.append([f'{size:,}', *shown])
        blocks.append(markdown_table(rows))
    return '\n\n'.join(blocks)


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    cv2.setNumThreads(1)
    detectors = []
    for word in args.files:
        name, _, path = word.rpartition('=')
        detector = OnnxDetector(path, num_threads=1)
        detectors.append((name or Path(path).stem, detector))
    image = draw_person()
    networks = network_costs(detectors, image, args.sizes, args.repeats)
    persons = person_costs(detectors[0][1], image, args.persons, args.repeats)
    print(tables(networks, persons))
    if args.figure:
        with atomic_write(args.figure, overwrite=True) as stream:
            make_figure(networks, persons).savefig(
                stream, format=args.figure.suffix[1:]
            )


if __name__ == '__main__':
    main()
