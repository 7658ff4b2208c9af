# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inert records of the objects in checkpoints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import UntypedStorage, nn

from aios.utils.pickle_records import (
    Builder,
    FrozenType,
    Mapping,
    Ordered,
    Record,
    UnsafeFileError,
)

_MAX_EXPANDED = 1 << 30
_STORAGES = {
    'Double': torch.float64,
    'Float': torch.float32,
    'Half': torch.float16,
    'BFloat16': torch.bfloat16,
    'Long': torch.int64,
    'Int': torch.int32,
    'Short': torch.int16,
    'Char': torch.int8,
    'Byte': torch.uint8,
    'Bool': torch.bool,
    'ComplexDouble': torch.complex128,
    'ComplexFloat': torch.complex64,
    'Untyped': torch.uint8,
}


@dataclass(frozen=True)
class IgnoredObject:
    """Replaces an object that is not plain data.

    Args:
        type_name: Module and name of its type.
    """

    type_name: str


class Other(Record):
    """An object of any other type, whose content is discarded."""

    type_name = ''

    def __setitem__(self, key: Any, value: Any) -> None:
        """Discard an item."""

    def append(self, item: Any) -> None:
        """Discard an item."""

    extend = append

    def build(self, convert: Builder) -> IgnoredObject:
        """See :meth:`Record.build`."""
        return IgnoredObject(self.type_name)


def make_record(module: str, name: str) -> type[Other]:
    """An inert type for an unknown global."""
    content = {'__slots__': (), 'type_name': f'{module}.{name}'}
    kind: Any = FrozenType('Other', (Other,), content)
    return kind


class CheckpointBuilder(Builder):
    """Builder that replaces types by ignored objects."""

    def build(self, raw: Any) -> Any:
        """See :meth:`Builder.build`."""
        if isinstance(raw, FrozenType):
            return IgnoredObject(getattr(raw, 'type_name', raw.__name__))
        return super().build(raw)


class StorageType(Record):
    """A class like ``torch.FloatStorage``; never called."""

    dtype: torch.dtype


class Storage(Record):
    """The memory of tensors, read when the first of them is built.

    ``args``: dtype, number of bytes, function to read it.
    """

    args: tuple[torch.dtype, int, Callable[[], UntypedStorage]]


class Tensor(Record):
    """``torch._utils._rebuild_tensor_v2``."""

    def build(self, convert: Builder) -> torch.Tensor:
        """See :meth:`Record.build`."""
        storage, *place, requires_grad, _ = self.args[:6]
        if any(self.args[6:]):
            raise ValueError('tensor with lazy conjugation or negation')
        dtype = storage.args[0]
        return _rebuild(storage, dtype, place, requires_grad)


class TypedTensor(Record):
    """``torch._utils._rebuild_tensor_v3``, with its own dtype."""

    def build(self, convert: Builder) -> torch.Tensor:
        """See :meth:`Record.build`."""
        storage, *place, requires_grad, _, dtype = self.args[:7]
        if any(self.args[7:]) or not isinstance(dtype, torch.dtype):
            raise ValueError('tensor with lazy conjugation or negation')
        return _rebuild(storage, dtype, place, requires_grad)


class OldTensor(Record):
    """``torch._utils._rebuild_tensor``, from before PyTorch 0.4."""

    def build(self, convert: Builder) -> torch.Tensor:
        """See :meth:`Record.build`."""
        storage, *place = self.args
        return _rebuild(storage, storage.args[0], place, False)


def _rebuild(
    storage: Any, dtype: torch.dtype, place: list[Any], requires_grad: Any
) -> torch.Tensor:
    """Tensor on a storage; ``place``: offset, shape and strides.

    Sizes are checked because PyTorch enlarges storages that are too small.
    """
    offset, shape, strides = place
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError('tensor without data or strides')
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        raise ValueError(f'tensor of shape {shape} with strides {strides}')
    _, num_bytes, read = storage.args
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides))  # noqa: B905
    count = math.prod(shape)
    if count and (last + 1) * dtype.itemsize > num_bytes:
        raise ValueError(
            f'tensor of shape {tuple(shape)}, {dtype}, in a storage of '
            f'{num_bytes:,} bytes'
        )
    if count * dtype.itemsize > max(num_bytes, _MAX_EXPANDED):
        raise UnsafeFileError(
            f'tensor of shape {tuple(shape)} that repeats {num_bytes:,} bytes'
        )
    memory = read()
    tensor = torch.empty(0, dtype=dtype, device=memory.device)
    tensor.set_(memory, offset, tuple(shape), tuple(strides))
    return tensor.requires_grad_(requires_grad is True)


class Parameter(Record):
    """``torch._utils._rebuild_parameter``, with or without state."""

    def build(self, convert: Builder) -> nn.Parameter:
        """See :meth:`Record.build`."""
        data, requires_grad = self.args[:2]
        return nn.Parameter(convert(data).detach(), requires_grad is True)


class TensorWithState(Record):
    """``torch._tensor._rebuild_from_type_v2``, without the state."""

    def build(self, convert: Builder) -> torch.Tensor:
        """See :meth:`Record.build`."""
        rebuild, _, args = self.args[:3]
        if rebuild not in (Tensor, TypedTensor, Parameter):
            raise ValueError('unknown tensor type')
        return rebuild(*args).build(convert)


class ByteArray(Record):
    """``builtins.bytearray``."""

    def build(self, convert: Builder) -> bytearray:
        """See :meth:`Record.build`."""
        (data,) = self.args or (b'',)
        if not isinstance(data, bytes):
            raise UnsafeFileError(f'a bytearray of {type(data).__name__}')
        convert.spend(len(data))
        return bytearray(data)


class TensorClass(Record):
    """``torch.Tensor`` or ``torch.nn.Parameter``; never called."""


class Size(Record):
    """``torch.Size``."""

    def build(self, convert: Builder) -> torch.Size:
        """See :meth:`Record.build`."""
        convert.spend(8 * len(self.args[0]))
        return torch.Size(convert(self.args[0]))


class Device(Record):
    """``torch.device``."""

    def build(self, convert: Builder) -> torch.device:
        """See :meth:`Record.build`."""
        return torch.device(*self.args)


class Slice(Record):
    """``builtins.slice``."""

    def build(self, convert: Builder) -> slice:
        """See :meth:`Record.build`."""
        return slice(*map(convert, self.args))


class Attribute(Record):
    """``builtins.getattr``, the methods of a history."""

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        raise UnsafeFileError('it calls builtins.getattr')


class History(Record):
    """MMEngine's ``HistoryBuffer``, without its methods."""

    def build(self, convert: Builder) -> HistoryBuffer:
        """See :meth:`Record.build`."""
        state = self.state if isinstance(self.state, dict) else {}
        arrays = [
            convert(state.get(name))
            for name in ('_log_history', '_count_history')
        ]
        for array in arrays:
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                raise ValueError('MMEngine history without numbers')
            convert.spend(array.nbytes)
        return HistoryBuffer(*arrays, max_length=state['max_length'])


class ConfigObject(Record):
    """MMEngine's ``Config``, as a dictionary."""

    def build(self, convert: Builder) -> dict[str, Any]:
        """See :meth:`Record.build`."""
        return convert(self.state[0])


class StateDict(Ordered):
    """``OrderedDict``, with PyTorch's versions of modules."""

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        content = super().build(convert)
        if isinstance(self.state, dict) and '_metadata' in self.state:
            content._metadata = convert(self.state['_metadata'])
        return content


class Counts(Mapping):
    """``collections.Counter``, as in the state of a scheduler."""

    kind = Counter


class DefaultDict(Mapping):
    """``collections.defaultdict``, as a plain dictionary."""

    def __new__(cls, *args: Any) -> Any:
        """Drop the factory."""
        return super().__new__(cls)


def _collect() -> dict[tuple[str, str], Any]:
    records: dict[tuple[str, str], Any] = {
        ('collections', 'OrderedDict'): StateDict,
        ('collections', 'Counter'): Counts,
        ('collections', 'defaultdict'): DefaultDict,
        ('torch', 'Size'): Size,
        ('torch', 'device'): Device,
        ('torch', 'Tensor'): TensorClass,
        ('torch._tensor', 'Tensor'): TensorClass,
        ('torch.nn.parameter', 'Parameter'): TensorClass,
        ('torch._utils', '_rebuild_tensor'): OldTensor,
        ('torch._utils', '_rebuild_tensor_v2'): Tensor,
        ('torch._utils', '_rebuild_tensor_v3'): TypedTensor,
        ('torch._utils', '_rebuild_parameter'): Parameter,
        ('torch._utils', '_rebuild_parameter_with_state'): Parameter,
        ('torch._tensor', '_rebuild_from_type_v2'): TensorWithState,
        ('mmengine.logging.history_buffer', 'HistoryBuffer'): History,
        ('mmengine.config.config', 'Config'): ConfigObject,
        ('mmengine.config.config', 'ConfigDict'): Mapping,
        ('mmengine.config', 'ConfigDict'): Mapping,
        ('addict.addict', 'Dict'): Mapping,
    }
    for builtins in ('builtins', '__builtin__'):
        records[builtins, 'getattr'] = Attribute
        records[builtins, 'slice'] = Slice
        records[builtins, 'bytearray'] = ByteArray
    for name, dtype in _STORAGES.items():
        kind = FrozenType('Storage', (StorageType,), dict(dtype=dtype))
        records['torch', f'{name}Storage'] = kind
        records['torch.storage', f'{name}Storage'] = kind
    for name, value in vars(torch).items():
        if isinstance(value, torch.dtype):
            records['torch', name] = value
    return records


RECORDS = _collect()
"""Records by module and name."""
