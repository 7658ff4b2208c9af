# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pickled data frames as pandas writes them, without pandas."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
from hostile_pickles import Call


def dump_dataframe(path, columns):
    """Pickle a data frame as pandas 1.1 does, without pandas.

    Classes of the same names pretend to be pandas while they are pickled.
    """
    classes: dict = {}
    parents = ('pandas', 'pandas.core', 'pandas.core.internals')
    parents = (*parents, 'pandas.core.indexes')
    modules = {name: types.ModuleType(name) for name in parents}
    for module, name in (
        ('pandas.core.frame', 'DataFrame'),
        ('pandas.core.internals.managers', 'BlockManager'),
        ('pandas.core.indexes.base', 'Index'),
        ('pandas.core.indexes.range', 'RangeIndex'),
    ):
        kind = type(name, (), {'__module__': module})
        modules.setdefault(module, types.ModuleType(module))
        setattr(modules[module], name, kind)
        classes[name] = kind

    def _new_Index(kind, state):  # noqa: N802
        raise NotImplementedError

    base = modules['pandas.core.indexes.base']
    _new_Index.__module__, _new_Index.__qualname__ = (
        base.__name__,
        '_new_Index',
    )
    base._new_Index = _new_Index
    count = len(columns['imgPath'])
    labels = Call(
        _new_Index,
        classes['Index'],
        {'data': np.array(list(columns), object), 'name': None},
    )
    numbers = {'name': None, 'start': 0, 'stop': count, 'step': 1}
    axis = Call(_new_Index, classes['RangeIndex'], numbers)
    values = np.empty((len(columns), count), object)
    for row, cells in enumerate(columns.values()):
        for column, cell in enumerate(cells):
            values[row, column] = cell
    block = {'values': values, 'mgr_locs': slice(0, len(columns), 1)}
    extra = {'0.14.1': {'axes': [labels, axis], 'blocks': [block]}}
    manager = classes['BlockManager']()
    state = ([labels, axis], [values], [labels], extra)
    classes['BlockManager'].__reduce__ = lambda self: (
        object.__reduce_ex__(classes['DataFrame'](), 2)[0],
        (classes['BlockManager'],),
        state,
    )
    frame = classes['DataFrame']()
    frame.__dict__ = {
        '_mgr': manager,
        '_typ': 'dataframe',
        '_metadata': [],
        'attrs': {},
    }
    saved = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        with open(path, 'wb') as stream:
            pickle.dump(frame, stream, protocol=4)
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
