# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The Triton kernels, in Triton's interpreter where there is no GPU.

The interpreter must be chosen before Triton is imported, so this file runs
itself again in a process of its own.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from script_loader import run_python

from aios.ops import (
    available_kernels,
    multi_scale_deformable_attention,
    resolve_kernel,
)

INSIDE = 'AIOS_TEST_TRITON'
SHAPES = [(6, 5), (1, 2), (1, 1)]
QUERIES = 19  # more than one program, and not a multiple
DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
inside = pytest.mark.skipif(
    INSIDE not in os.environ, reason='run by test_in_a_process_of_its_own'
)


@pytest.mark.skipif(INSIDE in os.environ, reason='this is that process')
def test_in_a_process_of_its_own():
    pytest.importorskip('triton')
    variables = {INSIDE: '1'}
    if DEVICE == 'cpu':
        variables['TRITON_INTERPRET'] = '1'
    command = ['-m', 'pytest', '-q', '-n', '0', '-p', 'no:cacheprovider']
    assert ' passed' in run_python(*command, __file__, **variables)


@pytest.mark.skipif(INSIDE in os.environ, reason='Triton runs there')
def test_not_where_it_cannot_run(monkeypatch):
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    assert 'triton' not in available_kernels('cpu')
    with pytest.raises(RuntimeError, match='triton.*does not run on cpu'):
        resolve_kernel('cpu', 'triton')
    assert resolve_kernel('cpu') != 'triton'


@pytest.mark.skipif(INSIDE in os.environ, reason='the interpreter runs there')
@pytest.mark.parametrize('dtype', ['fp32', 'bf16', 'fp16'])
@pytest.mark.parametrize('kernel', ['forward_kernel', 'backward_kernel'])
def test_compiles_for_gpus(kernel, dtype):
    """To machine code, by Triton's own assembler: no GPU is needed."""
    triton = pytest.importorskip('triton')
    compiler = pytest.importorskip('triton.backends.compiler')
    kernels = pytest.importorskip('aios.ops.msda_triton_kernels')
    function = getattr(kernels, kernel)
    constants = dict(
        DEPTH=32,
        NUM_LEVELS=4,
        NUM_POINTS=4,
        BLOCK_Q=16,
        BLOCK_D=32,
        ACC=triton.language.float32,
    )
    pointers = dict(levels='*i32', value=f'*{dtype}', output=f'*{dtype}')
    pointers['gradient'] = f'*{dtype}'
    numbers = dict.fromkeys(('num_cells', 'num_queries', 'num_heads'), 'i32')
    signature = {
        name: 'constexpr'
        if name in constants
        else (pointers | numbers).get(name, '*fp32')
        for name in function.arg_names
    }
    source = triton.compiler.ASTSource(
        fn=function, signature=signature, constexprs=constants
    )
    target = compiler.GPUTarget('cuda', 90, 32)  # Hopper
    assert triton.compile(source, target=target).asm['cubin']


def make_inputs(depth=3, dtype=torch.float32):
    """Value, locations (a quarter of them outside) and weights."""
    generator = torch.Generator().manual_seed(0)
    options = dict(generator=generator, dtype=torch.float64)
    cells = sum(height * width for height, width in SHAPES)
    samples = (2, QUERIES, 2, len(SHAPES), 2)
    locations = torch.rand(*samples, 2, **options) * 1.3 - 0.15
    coordinates = torch.promote_types(dtype, torch.float32)
    return (
        torch.randn(2, cells, 2, depth, **options).to(DEVICE, dtype),
        locations.to(DEVICE, coordinates),
        torch.randn(samples, **options).to(DEVICE, dtype),
    )


def run(inputs, kernel):
    """Output and gradients."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = multi_scale_deformable_attention(
        leaves[0], SHAPES, *leaves[1:], kernel
    )
    factor = torch.linspace(-1, 1, output.numel(), device=DEVICE)
    loss = (output.double() * factor.view_as(output)).sum()
    return output.detach(), *torch.autograd.grad(loss, leaves)


@inside
@pytest.mark.parametrize(
    ('dtype', 'tolerance', 'depth'),
    [
        (torch.float64, 1e-12, 3),
        (torch.float32, 1e-5, 8),
        (torch.bfloat16, 2**-7, 3),
        (torch.float16, 2**-10, 8),
    ],
)
def test_equals_plain_torch(dtype, tolerance, depth):
    """Only results are rounded, once: sums are of float32 at least."""
    inputs = make_inputs(depth, dtype)
    exact = run([tensor.double() for tensor in inputs], 'grid_sample')
    for ours, truth, like in zip(
        run(inputs, 'triton'), exact, (inputs[0], *inputs), strict=True
    ):
        assert ours.dtype == like.dtype
        torch.testing.assert_close(
            ours.double(),
            truth,
            rtol=tolerance,
            atol=tolerance * float(truth.abs().max()),
        )


@inside
def test_gradcheck():
    value, locations, weights = make_inputs(2, torch.float64)
    inputs = value, locations[:, :3], weights[:, :3]
    assert torch.autograd.gradcheck(
        lambda *x: multi_scale_deformable_attention(
            x[0], SHAPES, x[1], x[2], 'triton'
        ),
        [tensor.clone().requires_grad_() for tensor in inputs],
        nondet_tol=1e-12,
        fast_mode=True,
    )


@inside
@pytest.mark.parametrize('bad', [np.nan, -np.inf])
def test_no_crash_where_training_diverged(bad):
    value, locations, weights = make_inputs()
    locations[0, 0] = bad
    output, *gradients = run((value, locations, weights), 'triton')
    assert output[0, 0].eq(0).all()
    assert output[0, 1].ne(0).all()
    assert all(gradient.isfinite().all() for gradient in gradients)


@inside
def test_strides_and_nothing():
    value, locations, weights = make_inputs()
    strided = value.transpose(1, 2).contiguous().transpose(1, 2)
    expected = run((value, locations, weights), 'triton')
    for ours, theirs in zip(
        run((strided, locations, weights), 'triton'), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    output = multi_scale_deformable_attention(
        value, SHAPES, locations[:, :0], weights[:, :0], 'triton'
    )
    assert output.shape == (2, 0, 6)


@inside
def test_torch_accepts_the_operator():
    value, locations, weights = make_inputs(2, torch.float64)
    arguments = (
        value.requires_grad_(),
        [side for shape in SHAPES for side in shape],
        locations[:, :2].requires_grad_(),
        weights[:, :2].requires_grad_(),
    )
    torch.library.opcheck(torch.ops.aios.msda_triton, arguments)
