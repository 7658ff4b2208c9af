# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results of other programs as results of this one (docs/en/import.md)."""

from .importer import Importer, ReadingOptions
from .table import IMPORTERS

__all__ = ['IMPORTERS', 'Importer', 'ReadingOptions']
