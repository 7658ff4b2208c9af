# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Emulation of the MPS device of a Mac on other machines.

Tensors report the device ``mps`` but are computed on the CPU. As on a Mac,
they do not support float64 and cannot be mixed with CPU tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
import yaml
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU = torch.device('cpu')
# PyTorch without Metal refuses to index tensors on `mps`. Of all devices but
# the CPU this one alone is in every build.
DEVICE = torch.device('meta')
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_ANYWHERE = {
    *('MPS', 'CompositeImplicitAutograd', 'CompositeExplicitAutograd'),
    'CompositeExplicitAutogradNonFunctional',
}


class FakeTensor(torch.Tensor):
    """A tensor on :data:`DEVICE` that wraps a CPU tensor."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> FakeTensor:
        """Wrap a tensor."""
        if inner.dtype in (torch.float64, torch.complex128):
            raise TypeError(f'the MPS framework has no {inner.dtype}')
        fake = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        fake.inner = inner
        return fake

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A copy, as Python subclasses have no arrays of their own."""
        if not force:
            raise TypeError('tensors on mps have no numpy()')
        return self.inner.detach().numpy().copy()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None) -> Any:
        """Only within :class:`FakeMPS`."""
        raise RuntimeError(f'{func} on mps outside of FakeMPS')


class FakeMPS(TorchDispatchMode):
    """Context in which tensors can be on :data:`DEVICE`.

    Attributes:
        operators: Names of the operators that ran on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        """Compute an operator."""
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if torch.is_tensor(x)]
        device = kwargs.get('device')
        if device is None:
            on_mps = any(isinstance(x, FakeTensor) for x in given)
        else:
            kwargs['device'] = CPU
            on_mps = torch.device(device).type == DEVICE.type
        if on_mps and func not in _COPIES:
            self._check(func, given)
        args, kwargs = tree_map_only(
            FakeTensor, lambda x: x.inner, (args, kwargs)
        )
        result = func(*args, **kwargs)
        if not on_mps or result is None:
            return result
        known = {id(x.inner): x for x in given if isinstance(x, FakeTensor)}
        return tree_map_only(
            torch.Tensor,
            lambda x: known[id(x)] if id(x) in known else FakeTensor(x),
            result,
        )

    def _check(self, func: Any, given: list[torch.Tensor]) -> None:
        for tensor in given:
            if not isinstance(tensor, FakeTensor) and tensor.dim():
                raise RuntimeError(f'{func}: a tensor is on cpu')
        self.operators.add(func.name())


@cache
def _native_functions() -> dict[str, dict[str, Any]]:
    """PyTorch's table of operators and their devices."""
    path = files('torchgen') / 'packaged/ATen/native/native_functions.yaml'
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    table = yaml.load(path.read_text(), loader)  # noqa: S506 - a safe one
    return {entry['func'].partition('(')[0]: entry for entry in table}


def _runs_on_mps(name: str) -> bool:
    entry = _native_functions()[name.removeprefix('aten::')]
    dispatch = entry.get('dispatch')
    if delegate := entry.get('structured_delegate'):
        return _runs_on_mps(delegate)
    keys = {key.strip() for keys in dispatch or () for key in keys.split(',')}
    return dispatch is None or bool(keys & _ANYWHERE)


def missing_on_mps(operators: set[str]) -> Iterator[str]:
    """Operators without an MPS kernel in this version of PyTorch."""
    for name in sorted(operators):
        if name.startswith('aten::') and not _runs_on_mps(name):
            yield name
