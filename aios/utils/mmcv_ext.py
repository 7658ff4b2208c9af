# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A stand-in for ``mmcv._ext`` where mmcv has no compiled operators.

``mmdet.models`` imports ``mmcv.ops``, which imports the compiled module
``mmcv._ext``. An mmcv that pip built without a compiler has none, so no
MMDetection model could be imported, although most of them, such as all DETRs,
call no compiled operator on the CPU.

:func:`install` adds a finder at the *end* of ``sys.meta_path``. Python asks it
for ``mmcv._ext`` only after all other finders: a real extension is preferred,
and a broken one still raises its own error. Each operator of the stand-in
raises an explanatory error when it is called.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

_EXTENSION = 'mmcv._ext'
_HOW_TO_GET = (
    'This mmcv was built without compiled operators. AiOS needs none; a '
    'module of MMDetection that does, such as the neck FPN_CARAFE, can be '
    'replaced, or the operators compiled (needs a C++ compiler, and nvcc for '
    'CUDA; about 20 minutes): `pip install --no-build-isolation '
    '--no-cache-dir --force-reinstall --no-deps onedl-mmcv` in an environment '
    'that has torch; in a checkout also `AIOS_WITH_OPS=1 bash '
    'tools/setup_env.sh`. See "Compiled operators" in the documentation '
    '(docs/en/get_started.md).'
)
# mmcv.utils.collect_env calls these two for every bug report.
_DESCRIPTIONS = {
    'get_compiler_version': 'n/a (no compiled operators)',
    'get_compiling_cuda_version': 'n/a (no compiled operators)',
}
_lock = threading.Lock()


class MissingOperatorError(NotImplementedError):
    """A compiled operator of mmcv was called, but mmcv has none."""


@dataclass(frozen=True)
class MissingOperator:
    """Placeholder of one compiled operator.

    Args:
        name: Name of the operator in ``mmcv._ext``.
    """

    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise an error.

        Raises:
            MissingOperatorError: Always; it says how to get the operator.
        """
        raise MissingOperatorError(
            f'`{_EXTENSION}.{self.name}` is not available. {_HOW_TO_GET}'
        )


@cache
def _operator(name: str) -> Callable[..., Any]:
    """Module-level ``__getattr__`` of the stand-in."""
    # Special names such as `__path__` or `__file__` must stay undefined for
    # inspect, pickle and the import system.
    if name.startswith('__'):
        raise AttributeError(f'{_EXTENSION!r} has no attribute {name!r}')
    if name in _DESCRIPTIONS:
        return lambda: _DESCRIPTIONS[name]
    return MissingOperator(name)


class _StandInFinder(MetaPathFinder, Loader):
    """Finder and loader of the stand-in only."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != _EXTENSION:
            return None
        return ModuleSpec(fullname, self, origin=__name__)

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = __doc__
        module.__getattr__ = _operator  # type: ignore[method-assign]


def install() -> None:
    """Provide ``mmcv._ext`` from now on, unless mmcv has a real one.

    Neither mmcv nor torch is imported. Safe to call again, from any thread,
    before or after ``import mmcv``.
    """
    with _lock:
        if not any(isinstance(f, _StandInFinder) for f in sys.meta_path):
            sys.meta_path.append(_StandInFinder())


def has_compiled_ops() -> bool:
    """Tell whether mmcv has its own compiled operators (imports mmcv).

    Returns:
        ``False`` if mmcv is missing, or was built without operators.
    """
    try:
        spec = importlib.util.find_spec(_EXTENSION)
    except ModuleNotFoundError:
        return False
    return spec is not None and not isinstance(spec.loader, _StandInFinder)
