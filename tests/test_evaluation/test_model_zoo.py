# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The page of results says what the metafile says, in our metrics' names."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from test_mesh_metric import ERRORS
from toy_agora import load_tool

from aios.evaluation.functional import AGORATable, summarize_agora
from aios.evaluation.functional.agora_summary import full_body_error

TOOL = load_tool('misc/make_model_zoo')
MODELS = yaml.safe_load(TOOL.METAFILE.read_text())['Models']
PUBLISHED = [
    pytest.param(result['Metrics'], id=f'{m["Name"]}, {result["Setting"]}')
    for m in MODELS
    for result in m.get('Published Results', [])
]


def test_page_is_up_to_date():
    page = TOOL.PAGE.read_text()
    assert TOOL.make_page(page, TOOL.METAFILE.read_text()) == page
    assert TOOL.main(['--check']) == 0


@pytest.mark.parametrize('numbers', PUBLISHED)
def test_names_are_those_of_our_metrics(numbers):
    ones = np.ones(1, bool)
    table = AGORATable(ones, np.ones((1, 8)), ones, ~ones, *[ones] * 3, 0)
    known = {*ERRORS, *summarize_agora(table)}
    assert set(numbers) <= known


@pytest.mark.parametrize('numbers', PUBLISHED)
def test_published_numbers_fit_together(numbers, request):
    """Slips of the pen would not: the rounding of parts is all they differ."""
    for kind, normalized in (('MVE', 'NMVE'), ('MPJPE', 'NMJE')):
        if f'fullbody-{kind}' not in numbers:
            continue
        parts = (numbers[f'{p}-{kind}'] for p in ('lhand', 'rhand', 'face'))
        whole = full_body_error(numbers[f'body-{kind}'], *parts)
        assert numbers[f'fullbody-{kind}'] == pytest.approx(whole, abs=0.11)
        f1 = numbers[f'fullbody-{kind}'] / numbers[f'fullbody-{normalized}']
        if 'f1' in numbers:
            assert f1 == pytest.approx(numbers['f1'], abs=0.006)
        # The page has a remark on this one.
        odd = 'agora-val, released' in request.node.name
        body = numbers[f'body-{kind}'] / f1
        close = numbers[f'body-{normalized}'] == pytest.approx(body, abs=0.7)
        assert close != (odd and kind == 'MVE')


def test_measured_numbers():
    model = {
        'Name': 'x',
        'Config': 'x.py',
        'Published Results': [
            {'Dataset': 'A', 'Setting': 'paper', 'Metrics': {'f1': 0.9}}
        ],
        'Results': [{'Dataset': 'A', 'Metrics': {'f1': 0.91, 'body-MVE': 60}}],
    }
    assert TOOL.make_section(model) == (
        '## A\n\n`x.py`\n\n'
        '| | paper | this project |\n'
        '|---|---:|---:|\n'
        '| f1 | 0.90 | 0.91 |\n'
        '| body-MVE |  | 60.0 |\n'
    )
    model['Results'][0]['Dataset'] = 'B'
    with pytest.raises(ValueError, match=r"same Dataset, got \['A', 'B'\]"):
        TOOL.make_section(model)
    with pytest.raises(ValueError, match='must contain'):
        TOOL.make_page('no marks', 'Models: []')
