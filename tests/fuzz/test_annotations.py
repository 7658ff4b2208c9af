# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Annotations and results are refused with file and field, or read."""

from __future__ import annotations

import pytest
from fuzz.annotation_readers import annotation_readers
from fuzz.harness import make_cases, run_cases
from fuzz.result_readers import result_readers

NAMES = (
    *('HumanData .npz', 'HumanData .pkl', 'AiOS cache', 'COCO images'),
    *('COCO-WholeBody, evaluation', 'COCO-WholeBody', 'NeuralAnnot'),
    *('submission, .zip', 'submission, .pkl', 'scores.json'),
    *('dumped predictions', 'AGORA data frame', 'AGORA ground truth'),
    *('params.npz', 'camera .npz', 'tracks .json', 'tracks .txt'),
)


@pytest.fixture(scope='module')
def readers(tmp_path_factory, free_body_dir):
    root, models = tmp_path_factory.mktemp('coco'), str(free_body_dir)
    found = annotation_readers(root, models) + result_readers(models)
    assert [r.name for r in found] == list(NAMES)
    return {r.name: r for r in found}


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
