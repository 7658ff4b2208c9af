# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Check the environment and report problems with advice.

Each check is a function that returns findings and imports packages itself, so
that a broken package does not affect other checks.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from .utils import mmcv_ext
from .utils.optional import disable_onnx_telemetry
from .utils.versions import (
    find_version_problems,
    installed_families,
    installed_version,
)
from .version import __version__

# All of them install the same folder `cv2`.
_OPENCV = tuple(
    f'opencv{contrib}-python{headless}'
    for contrib in ('', '-contrib')
    for headless in ('', '-headless')
)

Status = Literal['ok', 'note', 'warning', 'error']


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Args:
        topic: Subject of the check.
        status: ``'ok'``; ``'note'``, something optional is missing;
            ``'warning'``, it may fail; ``'error'``, this package cannot work.
        value: Description of the result.
        advice: How to solve the problem, empty if there is none.
    """

    topic: str
    status: Status
    value: str
    advice: str = ''


def _import(module: str, topic: str, advice: str) -> Finding:
    """Import a required package and report its version."""
    try:
        found = importlib.import_module(module)
    except Exception as error:  # of any type, for broken binaries
        reason = f'{type(error).__name__}: {error}'
        return Finding(
            topic, 'error', f'cannot be imported ({reason})', advice
        )
    return Finding(topic, 'ok', getattr(found, '__version__', 'unknown'))


def check_python() -> Iterable[Finding]:
    """Python and this package."""
    yield Finding('aios', 'ok', __version__)
    yield Finding(
        'python',
        'ok',
        f'{platform.python_version()} ({sys.executable}), '
        f'{platform.platform()}',
    )


def _is_runtime_only() -> bool:
    """Whether this is an installation of ``aios[runtime]``, without torch."""
    packages = ('torch', 'mmengine', 'mmcv', 'mmdet')
    return bool(find_spec('onnxruntime')) and not any(map(find_spec, packages))


def check_runtime() -> Iterable[Finding]:
    """ONNX Runtime."""
    if find_spec('onnxruntime') is None:
        yield Finding(
            'onnxruntime',
            'note',
            'not installed',
            '--runtime onnx needs it: `pip install onnxruntime`.',
        )
        return
    disable_onnx_telemetry()
    yield _import('onnxruntime', 'onnxruntime', 'Reinstall it.')


def check_torch() -> Iterable[Finding]:
    """Torch and its CUDA devices."""
    if _is_runtime_only():
        yield Finding(
            'torch',
            'note',
            'not installed, as OpenMMLab; inference with --runtime onnx works',
            'Training and export need the extras aios[torch] and '
            'aios[mminstall].',
        )
        return
    finding = _import('torch', 'torch', 'Install it: https://pytorch.org.')
    yield finding
    if finding.status == 'error':
        return
    import torch

    if torch.cuda.is_available():
        names = {
            torch.cuda.get_device_name(i)
            for i in range(torch.cuda.device_count())
        }
        devices = f'{torch.version.cuda}, {", ".join(sorted(names))}'
        yield Finding('cuda', 'ok', devices)
    elif torch.version.cuda is None:
        yield Finding('cuda', 'note', 'torch was built for the CPU only')
    else:
        yield Finding(
            'cuda',
            'warning',
            f'torch was built for CUDA {torch.version.cuda}, but sees no GPU',
            'Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES.',
        )


def check_openmmlab() -> Iterable[Finding]:
    """The OpenMMLab packages: family, versions and import."""
    if _is_runtime_only():
        return
    mmcv_ext.install()
    advice = 'Run `pip install -r requirements/mminstall.txt`.'
    for module in ('mmengine', 'mmcv', 'mmdet'):
        yield _import(module, module, advice)
    families = installed_families()
    found = [
        f'{name} {version}'
        for packages in families.values()
        for name, version in packages.items()
    ]
    problems = find_version_problems()
    for problem in problems:
        yield Finding('package family', 'warning', ', '.join(found), problem)
    if not problems:
        value = ', '.join(families) or 'installed without metadata'
        yield Finding('package family', 'ok', value)


def _cpu_attention() -> Finding:
    topic = 'deformable attention on the CPU'
    try:
        from aios.ops import resolve_kernel

        kernel = resolve_kernel('cpu')
    except Exception as error:  # of any type, for broken packages
        advice = 'See the lines above, and the variable AIOS_MSDA_KERNEL.'
        return Finding(
            topic, 'error', f'{type(error).__name__}: {error}', advice
        )
    if kernel == 'numba':
        return Finding(topic, 'ok', 'numba loops')
    advice = 'numba is faster: `pip install numba`.'
    return Finding(topic, 'note', f'plain torch ({kernel})', advice)


def check_attention() -> Iterable[Finding]:
    """Kernels of multi-scale deformable attention, and MMDetection."""
    if _is_runtime_only():
        return
    yield _cpu_attention()
    topic = 'deformable attention'
    if not mmcv_ext.has_compiled_ops():
        yield Finding(
            topic,
            'ok',
            'plain torch on CUDA (mmcv has no compiled operators)',
            'Compiled operators are optional: docs/en/get_started.md.',
        )
    else:
        finding = _import(
            'mmcv._ext',
            topic,
            'mmcv was compiled for another torch: reinstall it.',
        )
        if finding.status == 'ok':
            finding = Finding(topic, 'ok', 'compiled mmcv operator on CUDA')
        yield finding
    models = _import('mmdet.models', 'mmdet.models', 'See the lines above.')
    if models.status == 'ok':
        models = Finding('mmdet.models', 'ok', 'importable')
    yield models


def check_rendering() -> Iterable[Finding]:
    """OpenCV and its mesh rasterizer."""
    finding = _import(
        'cv2',
        'opencv',
        'Run `pip install --force-reinstall --no-deps '
        '"opencv-python-headless>=5"`.',
    )
    yield finding
    kinds = {k: v for k in _OPENCV if (v := installed_version(k)) is not None}
    # mmcv requires opencv-python; of the same version it does no harm.
    if len(set(kinds.values())) > 1:
        names = ', '.join(f'{name} {kinds[name]}' for name in kinds)
        yield Finding(
            'opencv',
            'warning',
            f'{len(kinds)} packages share one folder: {names}',
            f'Run `pip uninstall -y {" ".join(kinds)}`, then `pip install '
            '"opencv-python-headless>=5"`.',
        )
    if finding.status == 'error':
        return
    import cv2

    if not hasattr(cv2, 'triangleRasterize'):
        yield Finding(
            'opencv',
            'error',
            f'{cv2.__version__} cannot draw meshes',
            'Run `pip install "opencv-python-headless>=5"`.',
        )


def check_body_models() -> Iterable[Finding]:
    """Body-model files."""
    from aios.body_models import MissingBodyModelError, find_body_model
    from aios.body_models.files import BODY_MODELS_ENV, default_body_model_dir
    from aios.body_models.free_body import free_body_dir

    folder = default_body_model_dir()
    advice = (
        f'SMPL-X files: register at https://smpl-x.is.tue.mpg.de and put them '
        f'into {folder}/smplx, or set {BODY_MODELS_ENV} to their folder. Free '
        "alternative in the same format (CC0, not SMPL-X): model_path='free'."
    )
    for gender in ('neutral', 'male', 'female'):
        topic = f'SMPL-X {gender}'
        try:
            path = find_body_model(None, gender)
        except MissingBodyModelError:
            yield Finding(topic, 'note', 'not found', advice)
        else:
            yield _body_model(topic, path)
    made = '' if free_body_dir().is_dir() else ', made on first use'
    yield Finding('free body', 'ok', f'{free_body_dir()}{made}')


def _body_model(topic: str, path: Path) -> Finding:
    from aios.utils.safe_io import list_npz

    try:
        is_free = path.suffix == '.npz' and 'is_free_body' in list_npz(path)
    except (OSError, ValueError) as error:
        return Finding(topic, 'warning', str(error), f'Replace {path}.')
    kind = ' (the free body, not SMPL-X)' if is_free else ''
    return Finding(topic, 'ok', f'{path}{kind}')


CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    check_python,
    check_torch,
    check_openmmlab,
    check_attention,
    check_runtime,
    check_rendering,
    check_body_models,
)


def diagnose() -> list[Finding]:
    """Run all checks.

    Returns:
        All findings. An exception in a check is an ``'error'`` finding.
    """
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            findings.extend(check())
        except Exception as error:
            reason = f'{type(error).__name__}: {error}'
            findings.append(Finding(check.__name__, 'error', reason))
    return findings


def exit_code(findings: Iterable[Finding]) -> int:
    """Exit status of the command: 1 if there is an error, else 0."""
    return int(any(finding.status == 'error' for finding in findings))


def format_findings(findings: Iterable[Finding], as_json: bool = False) -> str:
    """Format findings as text or as a JSON list."""
    findings = list(findings)
    if as_json:
        return json.dumps([asdict(finding) for finding in findings], indent=2)
    width = max(len(finding.topic) for finding in findings)
    lines = []
    for finding in findings:
        mark = finding.status if finding.status != 'ok' else ''
        lines.append(f'{mark:>7}  {finding.topic:<{width}}  {finding.value}')
    advice = dict.fromkeys(f.advice for f in findings if f.advice)
    lines += ['', *(f'- {line}' for line in advice)] if advice else []
    return '\n'.join(lines)
