# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is special about the loops; test_msda.py tests them as a kernel."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from script_loader import run_python
from torch.utils.data import DataLoader, Dataset

from aios.ops import (
    available_kernels,
    msda_cpu,
    multi_scale_deformable_attention,
    multi_scale_deformable_attention_by_offsets,
    resolve_kernel,
    sampling_locations,
)

pytest.importorskip('numba')

SHAPES = [(20, 31), (10, 16), (5, 8), (3, 4)]
BATCH, QUERIES, HEADS, DEPTH, POINTS = 2, 403, 4, 32, 4


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def make_inputs(seed=0, dtype=torch.float32):
    """Value, locations (a tenth of them outside) and weights."""
    generator = torch.Generator().manual_seed(seed)
    options = dict(generator=generator, dtype=dtype)
    cells = sum(height * width for height, width in SHAPES)
    samples = (BATCH, QUERIES, HEADS, len(SHAPES), POINTS)
    value = torch.randn(BATCH, cells, HEADS, DEPTH, **options)
    locations = torch.rand(*samples, 2, **options) * 1.1 - 0.05
    weights = torch.randn(samples, **options).flatten(3).softmax(-1)
    return value, locations, weights.view(samples)


def run(inputs, kernel='numba'):
    """Output and gradients."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = multi_scale_deformable_attention(
        leaves[0], SHAPES, *leaves[1:], kernel
    )
    generator = torch.Generator().manual_seed(7)
    factor = torch.randn(output.shape, generator=generator)
    gradients = torch.autograd.grad((output * factor).sum(), leaves)
    return output.detach(), *gradients


def test_torch_accepts_the_operator():
    value, locations, weights = make_inputs(dtype=torch.float64)
    inputs = (value[:, :, :2, :3], locations[:, :4, :2], weights[:, :4, :2])
    value, locations, weights = (t.requires_grad_() for t in inputs)
    sizes = [side for shape in SHAPES for side in shape]
    torch.library.opcheck(
        torch.ops.aios.msda_cpu, (value, sizes, locations, weights)
    )
    references = torch.rand(BATCH, 4, len(SHAPES), 2, dtype=torch.float64)
    torch.library.opcheck(
        torch.ops.aios.msda_cpu_offsets,
        (
            value.detach(),
            sizes,
            references,
            locations.detach(),
            weights.detach(),
        ),
    )


def make_offsets(size, dtype=torch.float32):
    """References, points or boxes, and offsets; some end outside."""
    generator = torch.Generator().manual_seed(3)
    options = dict(generator=generator, dtype=dtype)
    references = torch.rand(BATCH, QUERIES, len(SHAPES), size, **options)
    samples = (BATCH, QUERIES, HEADS, len(SHAPES), POINTS, 2)
    return references, torch.randn(samples, **options) * 3


@pytest.mark.parametrize('size', [2, 4])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_offsets_have_the_same_bits(size, dtype, two_threads):
    """Without gradients locations are not stored, and nothing changes."""
    value, _, weights = make_inputs(dtype=dtype)
    references, offsets = make_offsets(size, dtype)
    offsets[0, 0] = torch.inf
    offsets[0, 1] = torch.nan
    expected = multi_scale_deformable_attention(
        value,
        SHAPES,
        sampling_locations(references, offsets, SHAPES),
        weights,
        'numba',
    )
    arguments = (value, SHAPES, references, offsets, weights)
    output = multi_scale_deformable_attention_by_offsets(*arguments, 'numba')
    assert torch.equal(output, expected)
    assert output[0, :2].eq(0).all() and output[0, 2:].ne(0).any(-1).all()
    plain = multi_scale_deformable_attention_by_offsets(
        *arguments[:3], offsets.nan_to_num(0, 9, 9), weights, 'grid_sample'
    )
    error = (output - plain)[:, 2:].abs().max()
    assert error < 2e-5


def test_offsets_have_gradients():
    value, _, weights = make_inputs()
    references, offsets = make_offsets(4)
    inputs = value, references, offsets, weights
    outputs, gradients = [], []
    for kernel in ('numba', 'grid_sample'):
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = multi_scale_deformable_attention_by_offsets(
            leaves[0], SHAPES, *leaves[1:], kernel
        )
        outputs.append(output)
        gradients.append(torch.autograd.grad(output.mean(), leaves[::3]))
    torch.testing.assert_close(*outputs, rtol=0, atol=2e-5)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kernel', ['numba', 'grid_sample'])
def test_offsets_that_do_not_fit_are_refused(kernel):
    value, _, weights = make_inputs()
    references, offsets = make_offsets(4)
    for wrong in (references[..., :3], references[:, 1:]):
        with pytest.raises(ValueError, match='points.*or boxes'):
            multi_scale_deformable_attention_by_offsets(
                value, SHAPES, wrong, offsets, weights, kernel
            )
    with pytest.raises(ValueError, match='needs sampling_locations'):
        multi_scale_deformable_attention_by_offsets(
            value, SHAPES, references, offsets, weights[:, :, :2], kernel
        )


def test_memory_layout_does_not_matter():
    value, locations, weights = make_inputs()
    strided = (
        value.transpose(1, 2).contiguous().transpose(1, 2),
        locations.movedim(-1, 0).contiguous().movedim(0, -1),
        weights.flip(0).contiguous().flip(0)[:, ::1],
    )
    assert not strided[0].is_contiguous()
    for ours, expected in zip(
        run(strided), run((value, locations, weights)), strict=True
    ):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize('num_threads', [2, 3])
def test_number_of_threads_does_not_matter(num_threads, monkeypatch):
    monkeypatch.setattr(msda_cpu, '_MIN_SAMPLES', 100)
    counts = []
    monkeypatch.setattr(msda_cpu.torch, 'get_num_threads', lambda: counts[-1])
    results = []
    for count in (1, num_threads, num_threads):
        counts.append(count)
        results.append(run(make_inputs()))
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e38])
def test_no_crash_where_training_diverged(bad):
    value, locations, weights = make_inputs()
    locations[0, 0] = bad
    output, *gradients = run((value, locations, weights))
    assert output[0, 0].eq(0).all()
    assert output[0, 1].ne(0).all()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_no_gradient_where_none_is_needed():
    value, locations, weights = make_inputs()
    value.requires_grad_()
    with torch.no_grad():
        output = multi_scale_deformable_attention(
            value, SHAPES, locations, weights, 'numba'
        )
    assert not output.requires_grad
    with torch.inference_mode():
        again = multi_scale_deformable_attention(
            value, SHAPES, locations, weights, 'numba'
        )
    assert torch.equal(output, again)


def test_several_callers_at_once(two_threads):
    expected = run(make_inputs())
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: run(make_inputs()), range(8)))
    for result in results:
        assert all(map(torch.equal, result, expected))


class _Outputs(Dataset):
    """Runs the kernel in the worker process."""

    def __init__(self):
        self.threads_of_parent = msda_cpu._helpers()

    def __len__(self):
        return 2

    def __getitem__(self, index):
        output = run(make_inputs(index))[0]
        return output, msda_cpu._helpers() is not self.threads_of_parent


@pytest.mark.skipif(
    'fork' not in multiprocessing.get_all_start_methods(),
    reason='this system has no fork',
)
def test_in_a_forked_worker(monkeypatch):
    """The threads of the parent are not there; nothing may wait for them."""
    # Not torch.set_num_threads: OpenMP itself does not survive a fork.
    monkeypatch.setattr(msda_cpu, '_num_threads', lambda weights: 2)
    expected = [run(make_inputs(index))[0] for index in range(2)]
    loader = DataLoader(
        _Outputs(),
        batch_size=None,
        num_workers=1,
        multiprocessing_context='fork',
        timeout=60,
    )
    for (ours, has_own_threads), theirs in zip(loader, expected, strict=True):
        assert torch.equal(ours, theirs)
        assert has_own_threads


@pytest.mark.parametrize('num_threads', [1, 3])
def test_error_of_a_task_arrives(num_threads):
    done = threading.Event()

    def fail():
        done.wait(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        msda_cpu._share([done.set, fail, fail], num_threads)


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, 'numba', None)
    monkeypatch.setattr(
        msda_cpu, 'can_import', msda_cpu.can_import.__wrapped__
    )
    assert 'numba' not in available_kernels('cpu')
    assert resolve_kernel('cpu') == 'grid_sample'
    with pytest.raises(RuntimeError, match="'numba' does not run"):
        resolve_kernel('cpu', 'numba')


def test_auto_is_numba_and_only_on_the_cpu(monkeypatch):
    monkeypatch.delenv('AIOS_MSDA_KERNEL', raising=False)
    assert resolve_kernel('cpu') == 'numba'
    assert 'numba' not in available_kernels('meta')


def test_numba_is_imported_late_and_its_code_kept_on_disk(tmp_path):
    code = (
        'import sys, torch; from aios.ops.msda_cpu import _compiled;'
        'print("numba" in sys.modules);'
        'loop = _compiled("forward_loop", torch.float32);'
        'print(sum(loop.stats.cache_hits.values()))'
    )
    cache = dict(NUMBA_CACHE_DIR=str(tmp_path))
    hits = [run_python('-c', code, **cache) for _ in range(2)]
    assert [hit.split() for hit in hits] == [['False', '0'], ['False', '1']]


@pytest.mark.parametrize('error', [RuntimeError, PermissionError, EOFError])
def test_machine_code_that_cannot_be_kept(monkeypatch, error):
    from aios.ops import msda_cpu_loops

    compile_loop, messages = msda_cpu_loops.compile_loop, []

    def no_cache(loop, dtype, cache=True):
        if cache:
            raise error('no place')
        return compile_loop(loop, dtype, cache)

    monkeypatch.setattr(msda_cpu_loops, 'compile_loop', no_cache)
    monkeypatch.setattr(
        msda_cpu, 'print_log', lambda message, **_: messages.append(message)
    )
    loop = msda_cpu._compiled.__wrapped__('forward_loop', torch.float32)
    assert callable(loop)
    assert 'no place' in messages[0]
    assert 'NUMBA_CACHE_DIR' in messages[0]
