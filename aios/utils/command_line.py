# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Common functions of the command-line tools.

Neither torch nor OpenMMLab is imported, as some tools need neither.  Functions
that take a parser also take a group of its arguments.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .openmmlab import prepare_openmmlab

if TYPE_CHECKING:
    from mmengine.config import Config

TRACEBACK_ENV = 'AIOS_TRACEBACK'
_CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f]')  # but \t and \n
# Methods of MMEngine's loops, and of training loops of projects.
_STEPS = ('run_epoch', 'run_iter', 'train_step')


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End the program with a one-line message if the setup fails.

    This concerns configs, options, files and objects built from them.  Errors
    in training or evaluation steps keep their traceback, as do all errors with
    the environment variable ``AIOS_TRACEBACK=1``.
    """
    escape_unprintable()
    try:
        yield
    except Exception as error:
        if os.environ.get(TRACEBACK_ENV) or _is_of_a_step(error):
            raise
        text = str(error).replace('overwrite=True', '--overwrite')
        if not isinstance(error, (OSError, ValueError)) or not text:
            text = f'{type(error).__name__}: {text}'
        sys.exit(
            f'error: {printable(text)}\n(set {TRACEBACK_ENV}=1 for the '
            'traceback)'
        )


def _is_of_a_step(error: Exception) -> bool:
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_name in _STEPS:
            return True
        frame = frame.tb_next
    return False


def printable(text: str) -> str:
    """Escape control characters, which terminals execute, and odd bytes.

    Names and fields of downloaded files may contain any character.
    """
    text = _CONTROL.sub(lambda found: f'\\x{ord(found[0]):02x}', text)
    return text.encode('utf-8', 'backslashreplace').decode()


def escape_unprintable() -> None:
    """Let ``print`` escape characters that the output cannot encode.

    Output to a file or pipe has the code page on Windows, and names of files
    may contain any character.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def make_parser(
    description: str | None, prog: str | None = None
) -> argparse.ArgumentParser:
    """Make a parser whose help keeps the formatting of the description.

    Args:
        description: Usually ``__doc__`` of the tool, with its examples.
        prog: Name of the program; default: that of the file.
    """
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def number(
    kind: Callable[[str], float], low: float, high: float = math.inf
) -> Callable[[str], float]:
    """The ``type`` of an option that is a number in a range.

    Args:
        kind: ``int`` or ``float``.
        low: Minimum.
        high: Maximum.
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
        help='change config settings, e.g. train_dataloader.batch_size=1 or '
        'key="[(a,b),(c,d)]" (quoted, without spaces)',
    )


class _ConfigOptions(argparse.Action):
    """MMEngine's ``DictAction``, imported only if the option is used.

    Invalid values are errors of the command line.
    """

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option: Any = None
    ) -> None:
        try:
            from mmengine.config import DictAction
        except ImportError as error:
            parser.error(f'--cfg-options needs MMEngine: {error}')
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
        parser: The parser.
        what: Files that are replaced, for the help.
    """
    parser.add_argument(
        '--overwrite', action='store_true', help=f'replace {what}'
    )


def add_body_models_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--body-models``; without it the value is ``None``."""
    parser.add_argument(
        '--body-models',
        metavar='PATH',
        help="folder of SMPL-X files, or 'free' (default: $AIOS_BODY_MODELS "
        'or data/body_models)',
    )


def add_dtype_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--dtype`` for :func:`aios.engine.profiling.autocast_to`."""
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        default='float32',
        help='dtype of torch.autocast (default: %(default)s)',
    )


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add ``--json``, an output file for the numbers of a table."""
    parser.add_argument(
        '--json',
        type=Path,
        metavar='FILE',
        help='write all numbers to this file',
    )


def add_shape_option(
    parser: argparse._ActionsContainer, default: Sequence[int] = (800, 1333)
) -> None:
    """Add ``--shape``, height and width of images in pixels."""
    height, width = default
    parser.add_argument(
        '--shape',
        type=number(int, 1),
        nargs=2,
        default=[height, width],
        metavar=('HEIGHT', 'WIDTH'),
        help=f'image size (default: {height} {width})',
    )


def add_measuring_options(parser: argparse._ActionsContainer) -> None:
    """Add device, repetitions and clock of measurements."""
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=number(int, 1), help='CPU threads')
    parser.add_argument('--repeats', type=number(int, 1), default=5)
    parser.add_argument('--warmup', type=number(int, 0), default=1)
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help='wall: elapsed time; cpu: CPU time of all threads, which with '
        '--threads 1 hardly depends on other load; more threads spin '
        'while waiting (default: %(default)s)',
    )


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table with right-aligned numbers.

    Args:
        rows: Cells; the first row is the head, the first column has names.
    """
    rows = list(rows)
    head, *body = (f'| {" | ".join(row).lstrip()} |' for row in rows)
    return '\n'.join([head, f'|---|{"---:|" * (len(rows[0]) - 1)}', *body])


def csv_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Format a CSV table with a column for each name; missing cells empty."""
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
    """Format a Markdown table with the ratio of each column to the last.

    Args:
        corner: Title of the names.
        columns: Title to numbers by name.
        show: Formats the cell of a name and a number.
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
    """Options of each of several configs that are compared.

    Options apply to the first config and to others of its package, as configs
    of another one, such as ``mmdet::``, lack these keys. Files count as of
    ``aios``.

    Args:
        names: As for :func:`read_config`.
        options: Values to set, by dotted name, from ``--cfg-options``.
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
        options: Values to set, by dotted name, from ``--cfg-options``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a config, or an option is invalid.
    """
    from mmengine.config import Config

    prepare_openmmlab()  # the config may inherit from `aios::...`
    try:
        if '::' in name:
            from mmengine.hub import get_config

            config = get_config(name)
        else:
            config = Config.fromfile(name)
    except FileNotFoundError:
        raise  # its message names the file
    except Exception as error:  # a config is a program
        raise ValueError(
            f'{name}: not a valid config ({type(error).__name__}: {error})'
        ) from error
    set_options(config, options)
    return config


def set_options(config: Config, options: Mapping[str, Any] | None) -> None:
    """Change a config.

    Args:
        config: Changed in place.
        options: Values to set, by dotted name, from ``--cfg-options``.

    Raises:
        ValueError: If an option does not fit the structure of the config.
    """
    for key, value in (options or {}).items():
        try:
            config.merge_from_dict({key: value})
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            name = getattr(config, 'filename', None) or 'the config'
            raise ValueError(
                f'--cfg-options {key}={value!r} does not fit {name}: {error}'
            ) from error
