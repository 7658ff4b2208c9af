# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Run the other benchmarks on a GPU in a few minutes.

Each step runs as a separate command, so that a step that fails or hangs does
not stop the others; the reason is recorded. All numbers are written to one
JSON file after every step. --tables-of writes the tables of such a file into a
page. The steps after the one of deformable attention use the kernel that was
fastest there, forward and backward in float32.

On a machine without network use gpu_report.sh.

Example:
    python tools/analysis_tools/gpu_report.py --json outputs/gpu_report.json
    python tools/analysis_tools/gpu_report.py \
        --tables-of outputs/gpu_report.json --page docs/en/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from aios.utils.command_line import (
    TRACEBACK_ENV,
    errors_in_one_line,
    make_parser,
)
from aios.utils.json_record import read_record, write_record
from aios.utils.safe_io import atomic_write

ROOT = Path(__file__).resolve().parents[2]
TOOLS = 'tools/analysis_tools'
BEGIN, END = '<!-- gpu report -->\n', '<!-- end of gpu report -->\n'
PACKAGES = ('torch', 'triton', 'onedl-mmcv', 'onedl-mmdetection')
KERNEL = 'AIOS_MSDA_KERNEL'


class Step(NamedTuple):
    """A command.

    Args:
        name: What the table is called in the page, too.
        title: Its heading.
        command: After ``python``.
        has_numbers: Whether it knows ``--json``.
    """

    name: str
    title: str
    command: str
    has_numbers: bool = True


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--device', default='cuda')
    parser.add_argument(
        '--short',
        action='store_true',
        help='use a small model and small images, to test the report itself',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=8.0,
        help='time limit of all steps together (default: %(default)s)',
    )
    parser.add_argument(
        '--step-seconds',
        type=float,
        default=150.0,
        help='time limit of one step, so that a step that hangs does not '
        'stop the others (default: %(default)s)',
    )
    parser.add_argument(
        '--json', type=Path, default=Path('outputs/gpu_report.json')
    )
    parser.add_argument(
        '--tables-of',
        type=Path,
        metavar='JSON',
        help='measure nothing; write the tables of an earlier report to '
        '--page',
    )
    parser.add_argument(
        '--page',
        type=Path,
        help='write the tables into this page, between the comments `gpu '
        'report` and `end of gpu report`',
    )
    args = parser.parse_args(argv)
    if args.tables_of and not args.page:
        parser.error('--tables-of needs --page')
    return args


def make_steps(device: str, short: bool) -> list[Step]:
    """All steps, the most important first: time may run out."""
    model, size, batches, runs = 'aios_r50', '1333x800', '1 8', 10
    tests = (
        f'"tests/test_models/test_parity.py::test_small_double[{device}]"'
        ' tests/test_ops/test_msda_triton.py'
    )
    dtypes, height_width = ['float32', 'bfloat16'], '480 640'
    if short:
        model, size, batches, runs = 'aios_s', '96x64', '1', 1
        tests = 'tests/test_models/test_feed_forward.py'
        dtypes, height_width = dtypes[:1], '64 96'
    width, height = size.split('x')
    common = f'--device {device} --repeats {runs}'
    options = (
        f'configs/aios/{model}.py {common} --shape {height} {width}'
        f' --warmup {min(runs, 3)}'
        ' --cfg-options model.bbox_head.body_model.model_path=free'
    )
    forward = f'{TOOLS}/benchmark.py {options} --batch-sizes {batches}'
    training = f'{TOOLS}/benchmark_train.py {options}'
    compiled = f'{forward} --compile'
    by_dtype = [
        ('forward', 'Inference', forward),
        ('training', 'Training', training),
        ('graphs', 'Inference, graphs', f'{compiled} cudagraphs'),
        ('compiled', 'Inference, compiled', f'{compiled} inductor'),
    ]
    if device == 'cpu':  # no graphs there, and Inductor takes minutes
        traced = 'compiled', 'Inference, traced', f'{compiled} eager'
        by_dtype[2:] = [traced]
    return [
        Step('gpu-tests', 'Tests', f'-m pytest -q {tests}', False),
        Step(
            'gpu-msda',
            'Deformable attention',
            f'{TOOLS}/benchmark_msda.py {common} --size {size}'
            f' --dtype {" ".join(dtypes)}',
        ),
        Step(
            'gpu-aios-s',
            'Inference, aios_s',
            f'{TOOLS}/benchmark.py configs/aios/aios_s.py {common}'
            f' --shape {height_width} --batch-sizes {batches}',
        ),
        *(
            Step(
                f'gpu-{name}-{dtype}',
                f'{title}, {dtype}',
                f'{command} --dtype {dtype}',
            )
            for name, title, command in by_dtype
            # of compilers first what is fast: time may run out
            for dtype in (dtypes[::-1] if compiled in command else dtypes)
        ),
    ]


def run_step(
    step: Step, environment: Mapping[str, str], limit: float
) -> dict[str, Any]:
    """Run a command from the root of the checkout.

    Args:
        step: What to run.
        environment: Variables beside those of this process.
        limit: Seconds after which it is stopped.

    Returns:
        ``name``, ``title``, ``command``, ``status`` (``'done'`` or
        ``'failed'``), ``reason``, ``seconds``, ``output`` and ``numbers``.
    """
    words = shlex.split(step.command)
    variables = [f'{key}={value}' for key, value in environment.items()]
    record: dict[str, Any] = dict(
        name=step.name,
        title=step.title,
        command=shlex.join([*variables, 'python', *words]),
        status='failed',
        reason='',
        output='',
        numbers=None,
    )
    if limit <= 0:
        return record | dict(reason='no time was left', seconds=0.0)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder, 'numbers.json')
        if step.has_numbers:
            words += ['--json', str(numbers)]
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, **environment, TRACEBACK_ENV: '1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=limit)
        except BaseException as error:
            # With what it started: compilers, tests in other processes.
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            record['reason'] = f'stopped after {limit:.3g} s'
        record['output'] = output.strip()
        if process.returncode:
            said = errors if step.has_numbers else output
            record['reason'] = record['reason'] or _last_line(said)
            record['output'] += f'\n{errors[-4000:]}'
        else:
            record['status'] = 'done'
        if numbers.is_file():
            record['numbers'] = json.loads(numbers.read_text())
    record['seconds'] = round(time.monotonic() - start, 1)
    return record


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else 'no message'


def fastest_kernel(
    numbers: Sequence[Mapping[str, Any]], device: str
) -> str | None:
    """Kernel of the package with the least time for both passes, float32.

    Args:
        numbers: Of ``benchmark_msda.py``.
        device: Where it ran.
    """
    from aios.ops import available_kernels

    times = {}
    for row in numbers:
        name, _, dtype = row['kernel'].partition(', ')
        if name in available_kernels(device) and dtype in ('', 'float32'):
            times[name] = row['both wall']
    return min(times, key=times.__getitem__, default=None)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all steps within the time limit, and collect their results."""
    end = time.monotonic() + 60 * args.minutes
    report: dict[str, Any] = dict(
        device=args.device,
        short=args.short,
        machine=describe_machine(args.device),
        steps=[],
    )
    environment: dict[str, str] = {}
    for step in make_steps(args.device, args.short):
        limit = min(args.step_seconds, end - time.monotonic())
        record = run_step(step, environment, limit)
        report['steps'].append(record)
        write_record(args.json, report)
        print(
            f'{step.name}: {record["status"]} ({record["seconds"]:.0f} s) '
            f'{record["reason"]}',
            flush=True,
        )
        if step.name == 'gpu-msda' and record['numbers']:
            kernel = fastest_kernel(record['numbers'], args.device)
            environment = {KERNEL: kernel} if kernel else {}
    return report


def describe_machine(device: str) -> str:
    """Hardware and versions."""
    import torch

    name = f'{platform.machine()} CPU'
    if torch.device(device).type == 'cuda' and torch.cuda.is_available():
        name = (
            f'{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}'
        )
    found = []
    for package in PACKAGES:
        try:
            found.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            continue
    return (
        f'{name}, {os.cpu_count()} cores; Python {platform.python_version()}, '
        + ', '.join(found)
    )


def tables(report: Mapping[str, Any]) -> Iterator[str]:
    """Blocks of Markdown: for each step its command and what it printed."""
    yield f'{report["machine"]}:'
    for step in report['steps']:
        yield f'#### {step["title"]}'
        command = f'```shell\n{step["command"]}\n```'
        if step['status'] != 'done':
            yield command
            yield f'Failed: {step["reason"]}'
        elif step['numbers'] is None:
            yield command
            yield _last_line(step['output'])
        else:
            yield (
                f'<!-- suite: {step["name"]} -->\n{command}\n\n'
                f'{step["output"]}\n\n<!-- end of suite -->'
            )


def write_page(page: Path, report: Mapping[str, Any]) -> None:
    """Replace the part of a page that shows a report.

    Args:
        page: A file in Markdown.
        report: See :func:`measure`.

    Raises:
        ValueError: The page has no such part.
    """
    text = page.read_text('utf-8')
    if not (text.count(BEGIN) == text.count(END) == 1):
        raise ValueError(
            f'{page}: expected one {BEGIN.strip()} and one {END.strip()}'
        )
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    middle = '\n\n'.join(tables(report))
    with atomic_write(page, overwrite=True) as stream:
        stream.write(f'{before}{BEGIN}{middle}\n{END}{after}'.encode())


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    if args.tables_of:
        fields = dict(machine=str, steps=list)
        report = read_record(args.tables_of, fields)
    else:
        report = measure(args)
    if args.page:
        write_page(args.page, report)


if __name__ == '__main__':
    main()
