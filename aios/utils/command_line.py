# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What the command lines of the tools have in common.

Importing this imports neither torch nor OpenMMLab: some tools need neither.
Where a parser is taken, a group of its arguments will do as well.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .openmmlab import prepare_openmmlab

if TYPE_CHECKING:
    from mmengine.config import Config

TRACEBACK_ENV = 'AIOS_TRACEBACK'
_STEPS = ('run_epoch', 'run_iter')  # of MMEngine's loops


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End the program with one line if something cannot be set up.

    For configs, options, files and what is built of them.  An error of a
    step of training or evaluation keeps its traceback, as does any with the
    environment variable ``AIOS_TRACEBACK=1``.
    """
    try:
        yield
    except Exception as error:
        if os.environ.get(TRACEBACK_ENV) or _is_of_a_step(error):
            raise
        text = str(error).replace('overwrite=True', '--overwrite')
        if not isinstance(error, (OSError, ValueError)) or not text:
            text = f'{type(error).__name__}: {text}'
        sys.exit(
            f'error: {text}\n(with {TRACEBACK_ENV}=1: where it comes from)'
        )


def _is_of_a_step(error: Exception) -> bool:
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_name in _STEPS:
            return True
        frame = frame.tb_next
    return False


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help shows the description as it is written.

    Args:
        description: Usually ``__doc__`` of the tool, with its examples.
    """
    return argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def number(
    kind: Callable[[str], float], low: float, high: float = math.inf
) -> Callable[[str], float]:
    """The ``type`` of an option that is a number.

    Args:
        kind: ``int`` or ``float``.
        low: Least value.
        high: Greatest value.
    """

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value <= high):
            limits = (
                f'{low} or more' if high == math.inf else f'{low} to {high}'
            )
            raise argparse.ArgumentTypeError(f'{text!r} is not {limits}')
        return value

    return parse


def image_size(text: str) -> tuple[int, int]:
    """The ``type`` of an option such as ``640x480``."""
    try:
        width, height = map(int, text.lower().split('x'))
    except ValueError:
        width = height = 0
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not WIDTHxHEIGHT, e.g. 640x480'
        )
    return width, height


def add_config_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``config``, for :func:`read_config`."""
    parser.add_argument('config', help='config file, or package::config')


def add_cfg_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--cfg-options``; without it the value is ``None``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_ConfigOptions,
        metavar='KEY=VALUE',
        help='change the config, e.g. train_dataloader.batch_size=1 or '
        'key="[(a,b),(c,d)]" (quoted, and without white space)',
    )


class _ConfigOptions(argparse.Action):
    """MMEngine's action, which is imported when the option is used.

    Values that cannot be read are errors of the command line.
    """

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option: Any = None
    ) -> None:
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, nargs='+')
        try:
            action(parser, namespace, values, option)
        except (
            AssertionError,
            IndexError,
            RecursionError,  # dict(...)
            ValueError,
        ) as error:
            parser.error(
                f'--cfg-options: expected KEY=VALUE, got {values} ({error})'
            )


def add_overwrite_option(
    parser: argparse._ActionsContainer, what: str
) -> None:
    """Add ``--overwrite``.

    Args:
        parser: What to add it to.
        what: What is replaced, for the help.
    """
    parser.add_argument(
        '--overwrite', action='store_true', help=f'replace {what}'
    )


def add_body_models_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--body-models``; without it the value is ``None``."""
    parser.add_argument(
        '--body-models',
        metavar='PATH',
        help="SMPL-X files, or 'free'; default: $AIOS_BODY_MODELS or "
        'data/body_models',
    )


def add_dtype_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--dtype``, of :func:`aios.engine.profiling.autocast_to`."""
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        default='float32',
        help='torch.autocast to it',
    )


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--json``, a file for the numbers of a table."""
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help='write all numbers here'
    )


def add_shape_option(
    parser: argparse._ActionsContainer, default: Sequence[int] = (800, 1333)
) -> None:
    """Add ``--shape``, height and width of images in pixels."""
    height, width = default
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[height, width],
        metavar=('HEIGHT', 'WIDTH'),
        help=f'size of the images (default: {height} {width})',
    )


def add_measuring_options(parser: argparse._ActionsContainer) -> None:
    """Add where, how often and with which clock a tool measures."""
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help='of the CPU')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--warmup', type=int, default=1)
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help='cpu: time of all cores. With --threads 1 other programs on the '
        'machine hardly change it; more threads wait by spinning',
    )


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right.

    Args:
        rows: Cells; the first row is the head, the first column has names.
    """
    rows = list(rows)
    head, *body = (f'| {" | ".join(row).lstrip()} |' for row in rows)
    return '\n'.join([head, f'|---|{"---:|" * (len(rows[0]) - 1)}', *body])


def csv_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A table as CSV, a column for each name; empty where there is nothing."""
    rows = list(rows)
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    table = csv.DictWriter(text, list(names), lineterminator='\n')
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def comparison_table(
    corner: str,
    columns: Mapping[str, Mapping[str, float]],
    show: Callable[[str, float], str],
) -> str:
    """A table in Markdown with the ratio of each column to the last.

    Args:
        corner: Title of the names.
        columns: Numbers by name, by title.
        show: Makes a cell of a name and its number.
    """
    count = len(columns) - 1
    ratios = [f'ratio, {i + 1}' for i in range(count)]
    rows = [[corner, *columns, *(['ratio'] if count == 1 else ratios)]]
    for name in dict.fromkeys(n for c in columns.values() for n in c):
        numbers = [column.get(name) for column in columns.values()]
        *sides, base = numbers
        cells = ['–' if x is None else show(name, x) for x in numbers]
        cells += [
            '–' if x is None or not base else f'{x / base:.2f}' for x in sides
        ]
        rows.append([name, *cells])
    return markdown_table(rows)


def config_title(name: str) -> str:
    """Heading of a config in a table.

    Args:
        name: As for :func:`read_config`.
    """
    return Path(name.rpartition('::')[2]).stem


def options_by_config(
    names: Sequence[str], options: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """What to set in each of several configs that are compared.

    Options are for the first, and for others of its package: those of another
    one, such as ``mmdet::``, have no such keys. Files count as of ``aios``.

    Args:
        names: As for :func:`read_config`.
        options: Values to set, by dotted name, as of ``--cfg-options``.
    """
    packages = [name.rpartition('::')[0] or 'aios' for name in names]
    return [
        dict(options or {}) if package == packages[0] else {}
        for package in packages
    ]


def read_config(name: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config file.

    Args:
        name: A file, or one of an installed package such as
            ``mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py``.
        options: Values to set, by dotted name, as of ``--cfg-options``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no config, or an option does not fit.
    """
    from mmengine.config import Config

    prepare_openmmlab()  # it may inherit one of ours, `aios::...`
    try:
        if '::' in name:
            from mmengine.hub import get_config

            config = get_config(name)
        else:
            config = Config.fromfile(name)
    except OSError:
        raise  # with the name
    except Exception as error:  # a config is a program
        raise ValueError(
            f'{name}: cannot be read as a config '
            f'({type(error).__name__}: {error})'
        ) from error
    set_options(config, options)
    return config


def set_options(config: Config, options: Mapping[str, Any] | None) -> None:
    """Change a config.

    Args:
        config: Changed in place.
        options: Values to set, by dotted name, as of ``--cfg-options``.

    Raises:
        ValueError: If an option leads through something that has no such
            place; the message names it.
    """
    for key, value in (options or {}).items():
        try:
            config.merge_from_dict({key: value})
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            name = getattr(config, 'filename', None) or 'the config'
            raise ValueError(
                f'--cfg-options {key}={value!r} does not fit {name}: {error}'
            ) from error
