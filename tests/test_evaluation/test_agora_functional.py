# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's rules, on cases one can work out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from aios.evaluation.functional import (
    AGORA_ERRORS,
    AGORAProtocol,
    AGORATable,
    agora_bins,
    agora_costs,
    agora_errors,
    keypoint_boxes,
    match_agora,
    pairwise_iou,
    summarize_agora,
)
from aios.evaluation.functional.agora_summary import full_body_error

CORRECTED = AGORAProtocol.CORRECTED


# -- costs and overlaps --------------------------------------------------


def test_cost_of_a_shift():
    """All 24 joints moved by (3, 4): rank one, sqrt(24) * 5."""
    ours = np.zeros((1, 24, 2)) + (3, 4)
    true = np.zeros((2, 24, 2))
    expected = np.full((1, 2), np.sqrt(24) * 5)
    np.testing.assert_allclose(agora_costs(ours, true), expected)
    mean = agora_costs(ours, true, CORRECTED)
    np.testing.assert_allclose(mean, 5)


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ((0, 0, 9, 9), 1),  # 10 x 10
        ((5, 0, 14, 9), 50 / 150),
        ((9, 9, 18, 18), 1 / 199),  # share one pixel
        ((10, 0, 19, 9), 0),  # beside each other
        ((4, 4, 4, 4), 1 / 100),  # a box of one pixel
        ((9.5, 0, 18.5, 9), 5 / 195),
    ],
)
def test_overlap_counts_the_last_pixel(box, expected):
    overlap = pairwise_iou([[0, 0, 9, 9]], [box], pixel=1)
    assert overlap == pytest.approx(expected)


# -- matching ------------------------------------------------------------


def match_as_described(ours, true, valid, protocol):
    """The rules of the benchmark, sentence by sentence."""
    official = protocol is AGORAProtocol.OFFICIAL
    pairs = []
    for p, g in np.ndindex(len(ours), len(true)):
        offset = ours[p, :24] - true[g, :24]
        mean = np.linalg.norm(offset, axis=1).mean()
        pairs.append((np.linalg.norm(offset, 2) if official else mean, p, g))
    free_ours, free_true = [True] * len(ours), [True] * len(true)
    matches, low = [], 0
    for _, p, g in sorted(pairs):
        if not any(free_true) or len(matches) + low >= len(ours):
            break
        a, b = (
            [*points.min(0), *points.max(0)] for points in (ours[p], true[g])
        )
        width, height = (
            max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1)
            for i in (0, 1)
        )
        areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
        overlap = width * height / (sum(areas) - width * height)
        if overlap < 0.1:
            # Officially as many near misses and matches as predictions end
            # the search.
            low += official
            if official and not valid[g]:
                free_true[g] = False
        elif free_ours[p] and free_true[g]:
            free_true[g] = False
            if valid[g]:
                matches.append([p, g])
            # Officially who does not count is used up, the prediction is not.
            free_ours[p] = official and not valid[g]
    return sorted(matches), sum(free_ours)


@pytest.mark.parametrize('protocol', AGORAProtocol)
def test_crowds(protocol):
    """Persons who stand close, in every combination."""
    rng = np.random.default_rng(0)
    total = 0
    for _ in range(500):
        count, persons = rng.integers(1, 6, 2)
        true = rng.uniform(0, 60, (persons, 1, 2))
        true = true + rng.normal(0, 8, (persons, 127, 2))
        ours = true[rng.integers(persons, size=count), :24]
        ours = ours + rng.normal(0, 12, (count, 1, 2))
        ours = ours + rng.normal(0, 4, ours.shape)
        valid = rng.random(persons) < 0.7
        boxes = keypoint_boxes(ours), keypoint_boxes(true)
        pairs, wrong = match_agora(
            agora_costs(ours, true[:, :24], protocol),
            pairwise_iou(*boxes, pixel=1),
            valid,
            protocol,
        )
        expected = match_as_described(ours, true, valid, protocol)
        assert (pairs.tolist(), wrong) == expected
        total += len(pairs)
    assert total > 300


def test_overlap_of_exactly_a_tenth_is_enough():
    one = np.ones((1, 1))
    assert len(match_agora(one, 0.1 * one, one[0] > 0)[0]) == 1


@pytest.mark.parametrize('shape', [(0, 3), (3, 0), (0, 0)])
def test_no_person(shape):
    pairs, wrong = match_agora(
        np.empty(shape), np.empty(shape), np.ones(shape[1], bool)
    )
    assert pairs.shape == (0, 2)
    assert wrong == shape[0]


# -- errors --------------------------------------------------------------

VERTICES = {
    'body': np.array([0, 1]),
    'lhand': np.array([2]),
    'rhand': np.array([3]),
    'face': np.array([4, 5]),
}


@pytest.mark.parametrize('protocol', AGORAProtocol)
def test_errors_of_random_bodies(protocol):
    """Person by person and joint by joint, to a thousandth of a mm."""
    rng = np.random.default_rng(0)
    ours, true = (
        (rng.normal(0, 300, (9, 127, 3)), rng.normal(0, 300, (9, 6, 3)))
        for _ in range(2)
    )
    found = agora_errors(ours, true, VERTICES, protocol)
    # Between the hips, at the wrists, at the neck; finger tips do not count.
    parts = {
        'body': ([1, 2], [*range(22)]),
        'lhand': ([20], [*range(25, 40)]),
        'rhand': ([21], [*range(40, 55)]),
        'face': ([12], [*range(76, 127)]),
    }
    if protocol is AGORAProtocol.OFFICIAL:  # a zero more
        for part in ('lhand', 'rhand', 'face'):
            parts[part][1].append(parts[part][0][0])
    for (part, (origin, joints)), row in itertools.product(
        parts.items(), range(9)
    ):
        shift = (ours[0][row, origin] - true[0][row, origin]).mean(0)
        for name, kind, places in (
            ('MPJPE', 0, joints),
            ('MVE', 1, VERTICES[part]),
        ):
            distances = [
                np.linalg.norm(ours[kind][row, k] - shift - true[kind][row, k])
                for k in places
            ]
            column = AGORA_ERRORS.index(f'{part}-{name}')
            assert found[row, column] == pytest.approx(
                np.mean(distances), abs=8e-4
            )


# -- summaries -----------------------------------------------------------


def table(found, errors=None, seen=None, kid=None, wrong=0, **columns):
    found = np.array(found, bool)
    count = len(found)
    if errors is None:
        errors = np.zeros((count, 8))
    seen = np.ones(count, bool) if seen is None else np.array(seen, bool)
    kid = np.zeros(count, bool) if kid is None else np.array(kid, bool)
    other = {
        name: np.asarray(columns.get(name, np.ones(count)))
        for name in ('occlusion', 'orientation', 'x')
    }
    return AGORATable(
        found=found,
        errors=np.asarray(errors, float),
        has_predictions=seen,
        kid=kid,
        wrong=wrong,
        **other,
    )


def test_arithmetic_of_the_paper():
    """AiOS, threshold 0.5, in the table of the AGORA test set."""
    assert full_body_error(57.6, 38.7, 39.6, 24.6) == pytest.approx(91.9)
    # F1 0.94 of 94 found, 6 wrong, 6 missed
    row = [57.1, 36.4, 37.3, 25.7, 57.6, 38.7, 39.6, 24.6]
    rows = np.tile(row, (100, 1))
    found = np.arange(100) < 94
    # Hands and face as if nobody had been missed.
    result = summarize_agora(table(found, rows, seen=found, wrong=6))
    assert result['f1'] == 0.94
    assert result['body-MVE'] == 57.6
    assert result['fullbody-MVE'] == 91.9
    assert result['fullbody-NMVE'] == 97.8
    assert result['body-NMVE'] == 61.3
    assert result['fullbody-MPJPE'] == 90.2
    assert result['fullbody-NMJE'] == 96.0
    assert result['body-NMJE'] == 60.7


def test_missed_persons_are_zero_in_hands_and_faces():
    rows = np.full((4, 8), 30.0)
    found = [True, True, False, False]
    # The last is in an image without predictions.
    result = summarize_agora(table(found, rows, seen=[1, 1, 1, 0]))
    assert result['body-MVE'] == 30
    assert result['lhand-MVE'] == result['face-MPJPE'] == 20
    assert result['fullbody-MVE'] == 50
    corrected = summarize_agora(
        table(found, rows, seen=[1, 1, 1, 0]), CORRECTED
    )
    assert corrected['lhand-MVE'] == 30
    assert corrected['fullbody-MVE'] == 60


def test_counts_and_roundings():
    found = [True, True, False]
    result = summarize_agora(table(found, np.full((3, 8), 10.04), wrong=1))
    assert result['precision'] == result['recall'] == result['f1'] == 0.67
    assert result['body-MVE'] == 10
    assert result['body-NMVE'] == 14.9  # 10 / 0.67 = 14.925
    assert result['persons'] == 3
    assert result['matched'] == 2
    assert result['missed'] == 1
    assert result['false-positives'] == 1
    exact = summarize_agora(
        table(found, np.full((3, 8), 10.04), wrong=1), CORRECTED
    )
    assert exact['f1'] == pytest.approx(2 / 3)
    assert exact['body-NMVE'] == pytest.approx(15.06)


def test_children():
    """All false positives are theirs; full bodies get everybody's F1."""
    rows = np.full((4, 8), 10.0)
    rows[0] = 30
    result = summarize_agora(
        table([1, 1, 1, 1], rows, kid=[1, 0, 0, 0], wrong=1)
    )
    assert result['f1'] == 0.89  # 8 / 9
    assert result['kid-precision'] == 0.5
    assert result['kid-f1'] == 0.67
    assert result['body-MVE'] == 15
    assert result['kid-body-MVE'] == 30
    assert result['kid-body-NMVE'] == 44.8  # 30 / 0.67
    assert result['kid-fullbody-NMVE'] == 67.4  # 60 / 0.89


def test_no_person_found_has_no_errors():
    result = summarize_agora(table([False, False], wrong=3))
    assert result == {
        'precision': 0,
        'recall': 0,
        'f1': 0,
        'persons': 2,
        'matched': 0,
        'missed': 2,
        'false-positives': 3,
    }
    assert summarize_agora(table([]))['persons'] == 0


def test_f1_that_is_rounded_to_nothing():
    """1 of 1000: F1 is 0.00, and nothing is divided by it."""
    found = np.arange(1000) == 0
    result = summarize_agora(table(found, np.ones((1000, 8)), wrong=999))
    assert result['f1'] == 0
    assert result['body-MVE'] == 1
    assert 'body-NMVE' not in result
    assert np.isfinite([*result.values()]).all()


def test_bins():
    rows = np.arange(32.0).reshape(4, 8)
    bins = agora_bins(
        table(
            [1, 1, 0, 1],
            rows,
            occlusion=[0, 10, 10.5, 90],
            orientation=[-22, 22.5, 23, 337.5],
            x=[0.1, 0.125, 0.5, 1],
        )
    )
    persons = {k: [b['persons'] for b in v] for k, v in bins.items()}
    assert persons['occlusion'] == [2, 1, 0, 0, 0, 0, 0, 0, 1]
    assert persons['orientation'] == [2, 1, 0, 0, 0, 0, 0, 1]
    assert persons['x'] == [1, 1, 0, 0, 1, 0, 0, 0, 0, 1]
    edges = [b['low'] for b in bins['orientation']]
    assert edges == [-22.5, 22.5, 67.5, 112.5, 157.5, 202.5, 247.5, 292.5]
    assert bins['x'][-1]['low'] == 0.9
    first, second, third = bins['occlusion'][:3]
    assert (first['low'], first['high']) == (-1, 10)
    assert first['recall'] == 1
    assert first['body-MPJPE'] == 4  # (0 + 8) / 2
    assert second['recall'] == 0
    assert 'body-MPJPE' not in second
    assert third['persons'] == third['recall'] == 0


def test_persons_outside_all_bins_are_counted():
    bins = agora_bins(
        table([1, 0], occlusion=[np.nan, 50], orientation=[np.nan] * 2)
    )
    last = bins['occlusion'][-1]
    assert (last['low'], last['high']) == (None, None)
    assert (last['persons'], last['matched']) == (1, 1)
    assert [b['persons'] for b in bins['orientation']] == [0] * 8 + [2]
    assert len(bins['x']) == 10
