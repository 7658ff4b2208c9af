# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of heights and depths on a floor, as in docs/en/ground.md.

python tests/ground_sizes_table.py
"""

from __future__ import annotations

import sys

import numpy as np
from stick_body import HEIGHT, StickBody, family
from walking_persons import View

from aios.ground import ground_sequence
from aios.utils.command_line import markdown_table

_HEIGHTS = (1.78, 1.62, 1.36)
_VIEWS = (View(-30, 3.0), View(-15, 1.6), View(10, 1.0))
_SEEDS, _FRAMES = (201, 202), 200


def main() -> None:
    """Print the table; the worse of the seeds."""
    table = [['camera', 'what', 'found', '--ground', '--height 0=1.78']]
    for view in _VIEWS:
        errors = []
        for seed in _SEEDS:
            persons = family(seed, view, _HEIGHTS, _FRAMES)
            guess = np.full(len(_HEIGHTS), HEIGHT)
            row = [persons.errors(persons.found, guess)]
            for known in (None, {0: _HEIGHTS[0]}):
                after, report = ground_sequence(
                    persons.found, StickBody(), heights=known
                )
                pairs = report['heights_m'].values()
                heights = np.array([pair[1] for pair in pairs])
                row.append(persons.errors(after, heights))
            errors.append(row)
        worse = 100 * np.max(errors, axis=0).T
        for what, numbers in zip(('height', 'depth'), worse, strict=True):
            name = f'{view.pitch}°, {view.height} m'
            table.append([name, what, *(f'{n:.1f} %' for n in numbers)])
    sys.stdout.write(f'{markdown_table(table)}\n')


if __name__ == '__main__':
    main()
