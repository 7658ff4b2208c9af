# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Named faults of annotation files, and the error that reports them."""

from __future__ import annotations

import tokenize
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aios.utils.safe_io import CorruptFileError, UnsafeFileError

RULES: Mapping[str, str] = MappingProxyType(
    {
        'unreadable': 'the file is damaged or not of this format',
        'unsafe_content': 'the file holds objects that could run code',
        'missing_key': 'a key that is needed is absent',
        'wrong_type': 'a value has the wrong type',
        'outside': 'a file outside the folder of the images',
        'wrong_shape': 'an array has the wrong shape',
        'wrong_length': 'an array does not have one entry per row',
        'wrong_mask': 'a joint mask does not fit its keypoints',
        'wrong_frame_range': 'rows of an image are not given correctly',
        'duplicate_image': 'an image without persons is listed twice',
        'wrong_confidence': 'a confidence is not in 0..1',
        'unknown_convention': 'a joint convention has an unknown name',
        'unknown_gender': "a gender is not 'neutral', 'male' or 'female'",
        'not_finite': 'a label is NaN or infinite',
        'unknown_size': 'the size of an image is not known',
        'missing_image': 'an image is not there',
        'no_persons': 'there are no persons, or all were dropped',
    }
)
"""Names of the rules and their meaning."""


@dataclass(frozen=True)
class Fault:
    """A fault of a file.

    Args:
        rule: Name of the broken rule, a key of :data:`RULES`.
        field: The key, with a dot before a sub-key (``smplx.betas``).
        message: Found and allowed values.
        row: First affected row; None for the whole array.
        count: Number of affected rows.
    """

    rule: str
    field: str
    message: str
    row: int | None = None
    count: int = 1

    def __str__(self) -> str:
        where = self.field
        if self.row is not None:
            where += f', row {self.row}'
            if self.count > 1:
                where += f' and {self.count - 1} more'
        return f'[{self.rule}] {where}: {self.message}'


class HumanDataError(ValueError):
    """A file or a value is invalid.

    Args:
        faults: Its faults.
        source: The file, if there is one.
    """

    def __init__(
        self, faults: Fault | Sequence[Fault], source: Any = None
    ) -> None:
        faults = (faults,) if isinstance(faults, Fault) else tuple(faults)
        self.faults = faults
        self.source = source
        shown = [f'  {fault}' for fault in faults[:20]]
        if len(faults) > 20:
            shown.append(f'  ... and {len(faults) - 20} more')
        name = 'HumanData' if source is None else str(source)
        super().__init__('\n'.join([f'{name} is refused:', *shown]))

    @classmethod
    def of(
        cls,
        rule: str,
        field: str,
        message: str,
        row: int | None = None,
        count: int = 1,
        source: Any = None,
    ) -> HumanDataError:
        """The error for one :class:`Fault`."""
        return cls(Fault(rule, field, message, row, count), source)


def file_fault(
    error: UnsafeFileError | CorruptFileError, field: str = 'file'
) -> Fault:
    """Fault of a file that could not be read."""
    unsafe = isinstance(error, UnsafeFileError)
    rule = 'unsafe_content' if unsafe else 'unreadable'
    return Fault(rule, field, str(error))


@contextmanager
def refusing(
    source: Any, passed: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Convert errors that invalid content causes, so that they name the file.

    Args:
        source: The file.
        passed: Errors that are not converted since they concern other files.

    Raises:
        HumanDataError: For any error that content can cause.
    """
    try:
        yield
    except passed:
        raise
    except HumanDataError as error:
        if error.source is not None:
            raise
        raise HumanDataError(error.faults, source) from error
    except (
        *(ArithmeticError, AttributeError, LookupError, RecursionError),
        *(SyntaxError, TypeError, ValueError, tokenize.TokenError),
    ) as error:
        text = f'has unexpected content ({type(error).__name__}: {error})'
        fault = Fault('unreadable', 'file', text)
        raise HumanDataError(fault, source) from error
