# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's errors aggregated over all persons.

Symbols: ``G`` true persons of all images, ``B`` bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from .agora import AGORA_ERRORS, AGORA_PARTS, AGORAProtocol
from .detection import DetectionCounts, normalized_error

AGORA_BINS: Mapping[str, tuple[float, ...]] = {
    'occlusion': (-1, *range(10, 91, 10)),
    'orientation': tuple(np.arange(-22.5, 338, 45).tolist()),
    'x': tuple(np.linspace(0, 1, 11).round(1).tolist()),
}
"""Edges of the official bins: percent; degrees of ``Yaw - camYaw``, 45 wide
around 0, 45, ...; horizontal distance from the center of the image, in halves
of its width.  A bin includes its upper edge, not its lower one."""

_HAND_AND_FACE = AGORA_PARTS[1:]
_KINDS = {'MVE': 'NMVE', 'MPJPE': 'NMJE'}


@dataclass(frozen=True)
class AGORATable:
    """One row per evaluated person.

    Args:
        found: ``(G,)`` bool.
        errors: ``(G, 8)`` millimeters, columns :data:`AGORA_ERRORS`; rows of
            missed persons are ignored.
        has_predictions: ``(G,)`` bool, the person's image has at least one
            prediction; true wherever ``found`` is.
        kid: ``(G,)`` bool.
        occlusion: ``(G,)`` percent, NaN if unknown.
        orientation: ``(G,)`` degrees in (-22.5, 337.5], NaN if unknown.
        x: ``(G,)`` horizontal distance from the center of the image: 0 at
            the center, 1 at the edges.
        wrong: Predictions that match no person, of all images.
    """

    found: np.ndarray
    errors: np.ndarray
    has_predictions: np.ndarray
    kid: np.ndarray
    occlusion: np.ndarray
    orientation: np.ndarray
    x: np.ndarray
    wrong: int

    def select(self, mask: np.ndarray) -> AGORATable:
        """Rows of some persons; all false positives are kept."""
        columns = (f.name for f in fields(self) if f.name != 'wrong')
        rows = {name: getattr(self, name)[mask] for name in columns}
        return AGORATable(**rows, wrong=self.wrong)

    @property
    def counts(self) -> DetectionCounts:
        """True positives, false positives and false negatives."""
        found = int(self.found.sum())
        return DetectionCounts(found, self.wrong, len(self.found) - found)


def summarize_agora(
    table: AGORATable, protocol: AGORAProtocol = AGORAProtocol.OFFICIAL
) -> dict[str, float]:
    """The numbers of AGORA's leaderboard.

    Args:
        table: Evaluated persons.
        protocol: Official or corrected rules.

    Returns:
        ``precision``, ``recall``, ``f1``; for ``body``, ``lhand``,
        ``rhand``, ``face`` and ``fullbody`` ``<part>-MVE`` and
        ``<part>-MPJPE`` in millimeters; ``<body|fullbody>-NMVE`` and
        ``-NMJE``, divided by F1; ``persons``, ``matched``, ``missed``,
        ``false-positives``; the same for children as ``kid-...``.  Errors
        over zero persons are omitted; no value is NaN.
    """
    result = _detection(table, protocol)
    errors = _errors(table, protocol)
    result |= errors | _normalized(errors, result['f1'], result['f1'])
    result = _rounded(result, protocol)
    if table.kid.any():
        kids = table.select(table.kid)
        kid_result = _detection(kids, protocol)
        errors = _errors(kids, protocol)
        # Officially, full bodies are divided by the F1 of all persons.
        f1 = kid_result['f1']
        full_body_f1 = result['f1'] if protocol.is_official else f1
        kid_result |= errors | _normalized(errors, f1, full_body_f1)
        for name, value in _rounded(kid_result, protocol).items():
            result[f'kid-{name}'] = value
    return result


def full_body_error(
    body: float, left_hand: float, right_hand: float, face: float
) -> float:
    """Error of the full body: body plus the mean of hands and face."""
    return body + (left_hand + right_hand + face) / 3


def agora_bins(
    table: AGORATable,
) -> dict[str, list[dict[str, float | None]]]:
    """Recall and errors by occlusion, orientation and image position.

    Args:
        table: Evaluated persons.

    Returns:
        The bins of every column of :data:`AGORA_BINS`: ``low``, ``high``,
        ``persons``, ``matched``, ``recall`` and, where persons were matched,
        the mean of each of :data:`AGORA_ERRORS` over them.  Persons outside
        all bins, or with an unknown value, form a last bin without edges
        (``None``).
    """
    bins: dict[str, list[dict[str, float | None]]] = {}
    for name, borders in AGORA_BINS.items():
        values = getattr(table, name)
        outside = np.ones(len(values), bool)
        bins[name] = []
        for low, high in zip(borders[:-1], borders[1:], strict=True):
            inside = (values > low) & (values <= high)
            outside &= ~inside
            bins[name].append(_bin(table.select(inside), low, high))
        if outside.any():
            bins[name].append(_bin(table.select(outside), None, None))
    return bins


def _bin(
    part: AGORATable, low: float | None, high: float | None
) -> dict[str, float | None]:
    counts = part.counts
    entry: dict[str, float | None] = {
        'low': low,
        'high': high,
        'persons': len(part.found),
        'matched': counts.found,
        'recall': counts.recall,
    }
    if counts.found:
        means = part.errors[part.found].mean(0).tolist()
        entry |= dict(zip(AGORA_ERRORS, means, strict=True))
    return entry


def _detection(table: AGORATable, protocol: AGORAProtocol) -> dict[str, float]:
    counts = table.counts
    ratios = {
        'precision': counts.precision,
        'recall': counts.recall,
        'f1': counts.f1,
    }
    if protocol.is_official:
        ratios = {name: round(value, 2) for name, value in ratios.items()}
    return {
        **ratios,
        'persons': len(table.found),
        'matched': counts.found,
        'missed': counts.missed,
        'false-positives': counts.wrong,
    }


def _errors(table: AGORATable, protocol: AGORAProtocol) -> dict[str, float]:
    """Mean errors; empty if no person was found."""
    found = table.found
    if not found.any():
        return {}
    errors = np.where(found[:, None], table.errors, 0)
    means = errors.sum(0) / found.sum()
    if protocol.is_official:
        shared = errors.sum(0) / table.has_predictions.sum()
        body = [name.startswith('body') for name in AGORA_ERRORS]
        means = np.where(body, means, shared)
    result = dict(zip(AGORA_ERRORS, means.tolist(), strict=True))
    result = _rounded(result, protocol)
    for kind in _KINDS:
        parts = (result[f'{part}-{kind}'] for part in _HAND_AND_FACE)
        whole = full_body_error(result[f'body-{kind}'], *parts)
        result[f'fullbody-{kind}'] = whole
    return _rounded(result, protocol)


def _normalized(
    errors: Mapping[str, float], body_f1: float, full_body_f1: float
) -> dict[str, float]:
    """Errors divided by F1."""
    result = {}
    for kind, name in _KINDS.items():
        for part, f1 in (('body', body_f1), ('fullbody', full_body_f1)):
            if f'{part}-{kind}' not in errors:
                continue
            # F1 may be rounded down to 0.
            value = normalized_error(errors[f'{part}-{kind}'], f1)
            if value is not None:
                result[f'{part}-{name}'] = value
    return result


def _rounded(
    values: Mapping[str, float], protocol: AGORAProtocol
) -> dict[str, float]:
    """Officially, errors are rounded to one decimal."""
    if not protocol.is_official:
        return dict(values)
    return {
        name: round(value, 1) if '-' in name else value
        for name, value in values.items()
    }
