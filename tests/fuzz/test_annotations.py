# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hostile annotations are refused with file and field, or read."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fuzz.annotation_readers import annotation_readers
from fuzz.harness import make_cases, run_cases

sys.path.append(str(Path(__file__).parents[1] / 'test_datasets'))

from toy_annotated import coco  # noqa: E402

NAMES = (
    *('HumanData .npz', 'HumanData .pkl', 'AiOS cache', 'COCO images'),
    *('COCO-WholeBody', 'NeuralAnnot'),
)


@pytest.fixture(scope='module')
def readers(tmp_path_factory, free_body_dir):
    root, models = tmp_path_factory.mktemp('coco'), str(free_body_dir)
    coco(root, np.random.default_rng(3), models)
    return {r.name: r for r in annotation_readers(root, models)}


def check(reader, folder, count):
    results = run_cases(reader, make_cases(reader, folder, count))
    bad = [r for r in results if r.end not in ('read', 'refused')]
    assert not bad, '\n'.join(f'{r.end} {r.path} {r.message}' for r in bad)


@pytest.mark.parametrize('name', NAMES)
def test_few(readers, name, tmp_path):
    check(readers[name], tmp_path, 12)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_many(readers, name, tmp_path):
    check(readers[name], tmp_path, 300)
