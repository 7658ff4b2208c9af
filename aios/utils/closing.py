# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Objects that are closed at the end of a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

ClosingT = TypeVar('ClosingT', bound='Closing')


class Closing(ABC):
    """A context manager that closes itself, whatever happens inside."""

    def __enter__(self: ClosingT) -> ClosingT:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Finish; nothing can be done with it afterwards."""
