# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Proportions, coverage, ranks, and augmentation that can be repeated."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from aios.datasets import SeededConcatDataset
from aios.datasets.reproducible import SeededIndex
from aios.datasets.samplers import (
    InfiniteWeightedConcatSampler,
    WeightedConcatSampler,
)
from aios.datasets.samplers import weighted_concat_sampler as module
from aios.datasets.samplers.weighted_concat_sampler import split_exactly

SIZES = (7, 30, 4)
WEIGHTS = (0.5, 0.3, 0.2)


class Numbers(BaseDataset):
    """Items are (name, place, a draw of ``random`` and one of NumPy)."""

    def __init__(self, name: str, size: int) -> None:
        self.dataset_name = name
        self.size = size
        super().__init__(serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return [{'place': i} for i in range(self.size)]

    def __getitem__(self, index: int) -> tuple:
        draw = random.random(), float(np.random.random())  # noqa: NPY002
        return self.dataset_name, index, *draw


@pytest.fixture
def dataset() -> SeededConcatDataset:
    return SeededConcatDataset(
        [Numbers(f'set {i}', size) for i, size in enumerate(SIZES)]
    )


def _sources(indices) -> list[int]:
    return np.bincount(
        np.searchsorted(np.cumsum(SIZES), np.asarray(indices), 'right'),
        minlength=len(SIZES),
    ).tolist()


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 5000),
    st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(any),
)
def test_split_is_exact(total: int, weights: list[float]):
    counts = split_exactly(total, weights)
    shares = total * np.array(weights) / sum(weights)
    assert counts.sum() == total
    assert (np.abs(counts - shares) < 1 + 1e-6).all()
    assert not counts[np.array(weights) == 0].any()


def test_proportions_are_exact_in_every_epoch(dataset):
    sampler = WeightedConcatSampler(dataset, WEIGHTS, 100, seed=1)
    for epoch in range(5):
        sampler.set_epoch(epoch)
        assert _sources([*sampler]) == [50, 30, 20]


def test_longest_source_gives_the_length(dataset):
    assert len(WeightedConcatSampler(dataset, WEIGHTS, seed=0)) == 30
    # a source that is not used does not
    assert len(WeightedConcatSampler(dataset, (1, 0, 1), seed=0)) == 7


def test_every_source_is_covered_before_it_repeats(dataset):
    """10 of 30 and 10 of 7 images an epoch: laps go across epochs."""
    sampler = WeightedConcatSampler(dataset, (1, 1, 0), 20, seed=3)
    seen = np.concatenate([sampler.epoch_indices(e) for e in range(21)])
    times = Counter(seen.tolist())
    assert {times[i] for i in range(7, 37)} == {7}  # 210 / 30
    assert {times[i] for i in range(7)} == {30}  # 210 / 7
    first = [i for e in range(3) for i in sampler.epoch_indices(e) if i >= 7]
    assert sorted(first) == [*range(7, 37)]


def test_epochs_differ_and_depend_on_nothing_else(dataset):
    sampler = WeightedConcatSampler(dataset, WEIGHTS, 60, seed=5)
    epochs = [sampler.epoch_indices(e).tolist() for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    again = WeightedConcatSampler(dataset, WEIGHTS, 60, seed=5)
    again.set_epoch(2)
    assert [*again] == epochs[2]
    other = WeightedConcatSampler(dataset, WEIGHTS, 60, seed=6)
    assert other.epoch_indices(0).tolist() != epochs[0]


@pytest.mark.parametrize('world', [2, 3, 7])
def test_ranks_share_an_epoch(dataset, monkeypatch, world: int):
    parts = []
    for rank in range(world):
        monkeypatch.setattr(module, 'get_dist_info', lambda r=rank: (r, world))
        sampler = WeightedConcatSampler(dataset, WEIGHTS, 50, seed=5)
        parts.append([*sampler])
        assert len(parts[-1]) == len(sampler) == -(-50 // world)
    whole = [i for step in zip(*parts, strict=True) for i in step]
    assert whole == sampler.epoch_indices(0).tolist()
    wanted = split_exactly(len(whole), WEIGHTS).tolist()
    assert _sources(whole) == wanted


def test_realized_proportions_are_logged(dataset, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(module, 'print_log', lambda m, **_: lines.append(m))
    WeightedConcatSampler(dataset, WEIGHTS, 99, seed=0)
    (table,) = lines
    rows = [line.split() for line in table.splitlines()[2:]]
    assert [row[1] for row in rows] == ['0', '1', '2']
    assert [int(row[5]) for row in rows] == [49, 30, 20]
    assert rows[0][3:5] == ['50.00%', '49.49%']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'weights': (1, 2)}, '3 numbers'),
        ({'weights': (1, -1, 1)}, 'negative'),
        ({'weights': (0, 0, 0)}, 'zero'),
        ({'weights': (1, np.nan, 1)}, 'negative'),
        ({'epoch_length': 'mean'}, "'max' or positive"),
        ({'epoch_length': 0}, "'max' or positive"),
    ],
)
def test_bad_arguments(dataset, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        WeightedConcatSampler(dataset, **arguments)


def test_empty_source_with_a_share():
    members = [
        type('Set', (), {'__len__': lambda s, n=n: n})() for n in (3, 0)
    ]
    dataset = SimpleNamespace(datasets=members)
    with pytest.raises(ValueError, match='source 1 is empty'):
        WeightedConcatSampler(dataset, (1, 1))
    sampler = WeightedConcatSampler(dataset, (1, 0), seed=0)
    assert sorted(sampler) == [0, 1, 2]


def test_index_keeps_its_seed():
    index = pickle.loads(pickle.dumps(SeededIndex(5, 99)))
    assert index == 5
    assert index.seed == 99


def _epoch(dataset, workers: int, epoch: int) -> list:
    sampler = WeightedConcatSampler(dataset, WEIGHTS, 12, seed=2)
    sampler.set_epoch(epoch)
    loader = DataLoader(
        dataset, 4, sampler=sampler, num_workers=workers, collate_fn=list
    )
    return [item for batch in loader for item in batch]


def test_samples_depend_on_seed_and_epoch_only(dataset):
    random.seed(123)
    here = _epoch(dataset, 0, epoch=1)
    assert _epoch(dataset, 2, epoch=1) == here
    draws = [item[2:] for item in here]
    assert len(set(draws)) == len(draws)
    assert {item[2] for item in _epoch(dataset, 0, epoch=2)}.isdisjoint(
        item[2] for item in here
    )


def test_other_random_numbers_go_on(dataset):
    random.seed(7)
    expected = random.Random(7).random()
    _epoch(dataset, 0, epoch=0)
    assert random.random() == expected


def test_batches_of_one_aspect_ratio(dataset, monkeypatch):
    """MMDetection's batch sampler, as DINO has it, keeps the seeds."""
    shape = lambda _, index: dict(width=index % 2, height=0.5)  # noqa: E731
    monkeypatch.setattr(Numbers, 'get_data_info', shape)
    sampler = WeightedConcatSampler(dataset, WEIGHTS, 20, seed=1)
    batches = [*AspectRatioBatchSampler(sampler, 4)]
    assert sorted(sum(batches, [])) == sorted(sampler)
    assert all(isinstance(x, SeededIndex) for batch in batches for x in batch)


def test_plain_indices_work(dataset):
    assert dataset[8][:2] == ('set 1', 1)
    assert dataset[SeededIndex(8, 0)][:2] == ('set 1', 1)


@pytest.mark.parametrize('ranks', [1, 3])
def test_infinite_goes_on_from_any_place(dataset, monkeypatch, ranks):
    for rank in range(ranks):
        monkeypatch.setattr(module, 'get_dist_info', lambda r=rank: (r, ranks))

        def make() -> InfiniteWeightedConcatSampler:
            return InfiniteWeightedConcatSampler(
                dataset, weights=WEIGHTS, epoch_length=21, seed=5
            )

        finite = WeightedConcatSampler(
            dataset, weights=WEIGHTS, epoch_length=21, seed=5
        )
        expected = []
        for epoch in range(4):
            finite.set_epoch(epoch)
            expected += [(int(i), i.seed) for i in finite]
        for skipped in (0, 1, 7, 8, 20):
            sampler = make()
            sampler.set_epoch(2)  # as the runner does
            sampler.skip(skipped)
            found = islice(sampler, len(expected) - skipped)
            assert [(int(i), i.seed) for i in found] == expected[skipped:]
    with pytest.raises(ValueError, match='-1'):
        make().skip(-1)
