# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Time the SMPL-X layer with and without vertices.

Prints, per batch size, the median time of the forward pass and of forward
plus backward, and the memory that autograd keeps for the backward pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from aios.body_models import (
    BodyModelBase,
    SMPLXLayer,
)
from aios.engine.profiling import make_clock, median_seconds
from aios.structures import POSE_JOINTS
from aios.utils.command_line import make_parser, markdown_table


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--model-path', default='free', help="file, folder or 'free'"
    )
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 32])
    parser.add_argument('--repeats', type=int, default=20)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    return parser.parse_args(argv)


def random_params(
    layer: BodyModelBase, batch_size: int, device: str
) -> dict[str, Tensor]:
    """Random parameters of ``batch_size`` people that require gradients."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    params = {
        name: 0.3 * randn(batch_size, num_joints, 3)
        for name, num_joints in POSE_JOINTS.items()
    }
    params['betas'] = randn(batch_size, layer.num_betas)
    params['expression'] = randn(batch_size, layer.num_expression_coeffs)
    return {name: value.requires_grad_() for name, value in params.items()}


def kept_bytes(call: Callable[[], object], layer: BodyModelBase) -> int:
    """Bytes of the distinct tensors that autograd saves during ``call``.

    The model data, which exists anyway, is not counted.
    """
    storages: dict[int, int] = {}
    model = {buffer.data_ptr() for buffer in layer.buffers()}

    def pack(tensor: Tensor) -> Tensor:
        if not tensor.is_sparse:  # model data, too
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = call()
    del output
    return sum(n for address, n in storages.items() if address not in model)


def main(argv: list[str] | None = None) -> None:
    """Print one line per batch size, with and without vertices."""
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    layer = SMPLXLayer(model_path=args.model_path)
    layer = layer.to(args.device)
    print(
        f'torch {torch.__version__}, {args.device}, {args.threads} threads, '
        f'body {args.model_path}'
    )
    read = make_clock('wall', args.device)
    rows = [['batch', 'vertices', 'forward, ms', 'both, ms', 'kept, MB']]
    for batch_size in args.batch_sizes:
        params = random_params(layer, batch_size, args.device)
        for with_vertices in (True, False):

            def forward(
                params: dict = params, with_vertices: bool = with_vertices
            ) -> Tensor:
                return layer(**params, return_vertices=with_vertices).joints

            def step(forward: Callable = forward) -> None:
                forward().sum().backward()

            with torch.no_grad():
                seconds = median_seconds(forward, args.repeats, read, 3)
            full = median_seconds(step, args.repeats, read, 3)
            kept = kept_bytes(forward, layer) / 2**20
            rows.append(
                [str(batch_size), 'yes' if with_vertices else 'no']
                + [f'{x:.2f}' for x in (1e3 * seconds, 1e3 * full, kept)]
            )
    print(markdown_table(rows))


if __name__ == '__main__':
    main()
