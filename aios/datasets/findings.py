# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Findings of the checks of a HumanData file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
        check: Short name.
        message: Description of the problem.
        is_error: Whether training with the file would be wrong.
        rows: Affected rows; empty for the whole file.
        drops: Whether :func:`aios.datasets.repair.fix` drops these rows.
        example: Description of the first affected row.
    """

    check: str
    message: str
    is_error: bool = True
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    drops: bool = False
    example: str = ''

    def __str__(self) -> str:
        kind = 'ERROR' if self.is_error else 'warning'
        text = f'{kind:<8}{self.check:<18}'
        if len(self.rows):
            shown = ', '.join(str(row) for row in self.rows[:3])
            text += f'{len(self.rows)} rows ({shown}, ...): '
        text += self.message
        return f'{text}; {self.example}' if self.example else text


@dataclass
class Report:
    """Findings about one file.

    Attributes:
        facts: Descriptions of the checked content, by topic.
        findings: The problems.
        flat_hands: Whether the joints fit absolute hand poses; None if
            unknown.
        swapped_eyes: Keypoints whose eyeballs are swapped.
        pose_gender: Gender of the model that gives the joints of all
            persons; None for that of ``meta.gender``, or if unknown.
    """

    facts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    flat_hands: bool | None = None
    swapped_eyes: tuple[str, ...] = ()
    pose_gender: str | None = None

    @property
    def errors(self) -> list[Finding]:
        """Findings that make the file unfit for training."""
        return [finding for finding in self.findings if finding.is_error]

    def __str__(self) -> str:
        lines = [f'{name:<18}{text}' for name, text in self.facts.items()]
        lines += map(str, self.findings)
        warnings = len(self.findings) - len(self.errors)
        lines.append(f'{len(self.errors)} errors, {warnings} warnings')
        return '\n'.join(lines)
