# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of the floor estimated from feet, as in docs/en/ground.md.

python tests/ground_table.py [FRAMES]
"""

from __future__ import annotations

import sys

import numpy as np
from ground_cases import Case, grounded
from walking_persons import View

from aios.utils.command_line import markdown_table

_VIEWS = (
    *(View(-30, 3.0), View(-30, 1.5), View(-10, 0.5), View(0, 1.5)),
    *(View(10, 1.0), View(10, 0.5), View(-20, 2.5)),
)
_SEEDS = range(401, 411)
_HEAD = (
    'camera, tilt, floor, height mean, height rms, height worst, '
    'slide before, slide, path before, path, pose, jerk before, jerk'
)


def main() -> None:
    """Print the table: worst of the seeds, and the height's statistics."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    table = [_HEAD.split(', ')]
    for view in _VIEWS:
        cases = [_row(grounded(s, view, 3, frames)) for s in _SEEDS]
        rows = np.array(cases)
        height = rows[:, 2]
        worst = rows.max(0)
        table.append(
            [
                f'{view.pitch}°, {view.height} m',
                f'{worst[0]:.2f}°',
                f'{worst[1]:.0f} mm',
                f'{height.mean():.0f}',
                f'{np.sqrt((height**2).mean()):.0f}',
                f'{np.abs(height).max():.0f}',
                *(f'{x:.1f}' for x in worst[3:]),
            ]
        )
    sys.stdout.write(f'{markdown_table(table)}\n')


def _row(case: Case) -> tuple[float, ...]:
    before, after = case.before, case.after
    return (
        case.tilt(),
        1000 * case.height_error(),
        1000 * case.camera_error(),
        case.slide(before),
        case.slide(after),
        case.place_error(before),
        case.place_error(after),
        100 * (case.error(after) / case.error(before) - 1),
        case.acceleration_error(before),
        case.acceleration_error(after),
    )


if __name__ == '__main__':
    main()
