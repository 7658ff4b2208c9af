# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fields that a model predicts, as NumPy arrays.

They are those of :meth:`aios.models.heads.AiOSHead.predict`: parameters have
``smplx_`` before their names, ``joints3d`` and ``vertices`` are without the
translation.  :meth:`aios.results.FrameResult.from_prediction` makes results
of them.

Symbols: ``P`` candidates, ``n`` persons.
"""

from __future__ import annotations

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
        Fields ``(n, ...)`` of the persons that are left, and ``cam_K``
        ``(3, 3)`` if it is there.
    """
    fields = dict(sample['pred_instances'])
    # Candidates are ranked with every class; class 0 is not a person.
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
    """Predicted persons of a sample, without broken ones.

    Args:
        sample: See :func:`predictions_of`.
        score_thr: See there.
        fields: See :func:`finite_instances`.

    Returns:
        Persons, and how many were left out because they are not finite.
    """
    instances, broken = finite_instances(
        predictions_of(sample, score_thr), fields
    )
    # A score of NaN reaches no threshold.
    predicted = sample['pred_instances']
    unscored = np.isnan(as_array(predicted['scores'])) & _is_person(predicted)
    return instances, broken + int(unscored.sum())


def finite_instances(
    instances: Mapping[str, np.ndarray], fields: Iterable[str]
) -> tuple[dict[str, np.ndarray], int]:
    """Leave out persons with NaN or infinity, as of a diverged network.

    Numbers that float32 cannot hold count as infinite.

    Args:
        instances: Arrays ``(n, ...)``, and perhaps ``cam_K``.
        fields: What is looked at, beside scores; names that are not there
            are skipped.

    Returns:
        The others, and how many were left out.
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
    """Mask ``(n,)`` of the rows that float32 can hold."""
    with np.errstate(over='ignore'):
        finite = np.isfinite(np.asarray(values, np.float32))
    return np.asarray(finite.all(axis=tuple(range(1, np.ndim(values)))))


def _rows(value: Any, rows: np.ndarray) -> np.ndarray:
    """Some rows; meshes are large and perhaps on another device."""
    value = getattr(value, 'tensor', value)
    if not hasattr(value, 'detach'):
        value = np.asarray(value)
    return as_array(value[rows])


def _is_person(fields: Mapping[str, Any]) -> np.ndarray:
    label = fields.get('person_label', PERSON_LABEL)
    return np.asarray(as_array(fields['labels']) == label)
