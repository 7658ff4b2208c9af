# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Predictions of a model as NumPy arrays.

The fields are those of :meth:`aios.models.heads.AiOSHead.predict`: parameters
have the prefix ``smplx_``, ``joints3d`` and ``vertices`` are without the
translation.  :meth:`aios.results.FrameResult.from_prediction` converts them to
results.

Symbols: ``P`` candidates, ``n`` persons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from aios.structures import PERSON_LABEL


def as_array(value: Any) -> np.ndarray:
    """NumPy array of a tensor on any device, a box structure or an array."""
    value = getattr(value, 'tensor', value)
    if hasattr(value, 'detach'):
        value = value.detach().cpu()
    return np.asarray(value)


def predictions_of(
    sample: Mapping[str, Any], score_thr: float = 0.0
) -> dict[str, np.ndarray]:
    """Predicted persons of a sample.

    Args:
        sample: With ``pred_instances`` of ``P`` candidates.
        score_thr: Persons with a lower score are left out.

    Returns:
        Fields ``(n, ...)`` of the remaining persons, and ``cam_K`` ``(3, 3)``
        if the sample has it.

    Raises:
        ValueError: If the threshold is NaN, which every score is below.
    """
    if math.isnan(score_thr):
        raise ValueError('score_thr must be a number, got nan')
    fields = dict(sample['pred_instances'])
    # Candidates include all classes; class 0 is background.
    is_person = _is_person(fields)
    fields.pop('person_label', None)
    camera = fields.pop('cam_K', None)
    scores = as_array(fields['scores'])
    keep = np.flatnonzero((scores >= score_thr) & is_person)
    instances = {name: _rows(value, keep) for name, value in fields.items()}
    if camera is not None:
        instances['cam_K'] = as_array(camera)
    return instances


def finite_predictions_of(
    sample: Mapping[str, Any], score_thr: float, fields: Iterable[str]
) -> tuple[dict[str, np.ndarray], int]:
    """Predicted persons of a sample whose values are finite.

    Args:
        sample: See :func:`predictions_of`.
        score_thr: See :func:`predictions_of`.
        fields: See :func:`finite_instances`.

    Returns:
        Persons, and number of persons that are not finite.
    """
    instances, broken = finite_instances(
        predictions_of(sample, score_thr), fields
    )
    # predictions_of drops NaN scores, as NaN is below any threshold.
    predicted = sample['pred_instances']
    unscored = np.isnan(as_array(predicted['scores'])) & _is_person(predicted)
    return instances, broken + int(unscored.sum())


def finite_instances(
    instances: Mapping[str, np.ndarray], fields: Iterable[str]
) -> tuple[dict[str, np.ndarray], int]:
    """Leave out persons with NaN or infinity, as of a diverged network.

    Numbers outside the range of float32 count as infinite.

    Args:
        instances: Arrays ``(n, ...)``, optionally with ``cam_K``.
        fields: Names of the arrays to check besides ``scores``; missing ones
            are skipped.

    Returns:
        The finite persons, and the number of persons left out.
    """
    finite = np.isfinite(instances['scores'])
    for name in set(fields) & set(instances):
        finite &= finite_rows(instances[name])
    if finite.all():
        return dict(instances), 0
    kept = {
        name: value if name == 'cam_K' else value[finite]
        for name, value in instances.items()
    }
    return kept, int((~finite).sum())


def finite_rows(values: np.ndarray) -> np.ndarray:
    """Mask ``(n,)`` of the rows that are finite as float32."""
    with np.errstate(over='ignore'):
        finite = np.isfinite(np.asarray(values, np.float32))
    return np.asarray(finite.all(axis=tuple(range(1, np.ndim(values)))))


def _rows(value: Any, rows: np.ndarray) -> np.ndarray:
    """Index before the copy to the CPU, as meshes are large."""
    value = getattr(value, 'tensor', value)
    if not hasattr(value, 'detach'):
        value = np.asarray(value)
    return as_array(value[rows])


def _is_person(fields: Mapping[str, Any]) -> np.ndarray:
    label = fields.get('person_label', PERSON_LABEL)
    return np.asarray(as_array(fields['labels']) == label)
