# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Time the mesh rasteriser on crowds of free bodies.

Prints the median CPU time of a frame, shading and blending included, as a
table in Markdown. CPU time counts all threads and depends little on what else
the machine does. Bodies stand in rows, each about two fifths of the picture
high, and hide each other more the more there are.

Example:
    python tools/analysis_tools/benchmark_renderer.py --size 640x480 \
        --people 1 4 8
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import torch

from aios.body_models import SMPLXLayer
from aios.engine.profiling import median_seconds
from aios.results import instance_color
from aios.structures import Mesh
from aios.utils.command_line import make_parser, markdown_table
from aios.visualization import render_meshes, write_image


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--size', default='1333x800', help='WIDTHxHEIGHT')
    parser.add_argument('--people', type=int, nargs='+', default=[1, 5, 20])
    parser.add_argument('--supersample', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--model-path', default='free', help='body model')
    parser.add_argument('--save', metavar='PNG', help='write the last frame')
    return parser.parse_args(argv)


def make_crowd(
    model_path: str, count: int, K: np.ndarray, width: int
) -> list[Mesh]:
    """People with bent arms at 4 to 7 m, evenly spread over the picture."""
    generator = torch.Generator().manual_seed(0)
    depth = 4 + 3 * torch.rand(count, generator=generator)
    column = (torch.arange(count) + 0.5) / count * width
    transl = torch.stack(
        [(column - K[0, 2]) * depth / K[0, 0], 0.1 + 0 * depth, depth], 1
    ).float()
    body_pose = 0.15 * torch.randn(count, 21, 3, generator=generator)
    body_pose[:, 15, 2] -= 1
    body_pose[:, 16, 2] += 1
    layer = SMPLXLayer(model_path=model_path)
    with torch.no_grad():
        vertices = layer(
            global_orient=torch.tensor([[torch.pi, 0, 0]]).expand(count, 3),
            body_pose=body_pose,
            betas=torch.randn(count, 10, generator=generator),
            transl=transl,
        ).vertices
    return [
        Mesh(body, layer.faces, np.divide(instance_color(index), 255))
        for index, body in enumerate(vertices)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    width, height = map(int, args.size.split('x'))
    focal = 1.2 * height
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    background = np.full((height, width, 3), 96, np.uint8)
    crowds = {
        count: make_crowd(args.model_path, count, K, width)
        for count in args.people
    }

    print(f'{args.size}, OpenCV {cv2.__version__}, NumPy {np.__version__}')
    num_faces = len(crowds[args.people[0]][0].faces)
    print(f'{num_faces} triangles a person; CPU ms per frame\n')
    rows = [['samples per pixel', *(f'n = {n}' for n in args.people)]]
    for n in args.supersample:
        cells = [f'{n} x {n}']
        for count in args.people:
            render = partial(
                render_meshes,
                crowds[count],
                K,
                height,
                width,
                background=background,
                alpha=0.9,
                supersample=n,
            )
            seconds = median_seconds(render, args.repeats, time.process_time)
            cells.append(f'{1000 * seconds:.0f}')
        rows.append(cells)
    print(markdown_table(rows))
    if args.save:
        write_image(render().image, args.save)


if __name__ == '__main__':
    main()
