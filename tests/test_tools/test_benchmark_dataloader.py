# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of data loaders measures a file that it makes up."""

from __future__ import annotations

import re
import sys

import pytest
from script_loader import load_script

TOOL = 'tools/analysis_tools/benchmark_dataloader.py'


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_made_up_persons(capfd):
    arguments = ['--persons', '40', '--samples', '3', '--workers', '2']
    arguments += ['--batch-size', '1', '--sample-interval', '2']
    load_script(TOOL).main(arguments)
    text = capfd.readouterr().out
    for words in ('labels of 40 persons', 'first:  opened', 'later:  opened'):
        assert words in text
    assert '4 pictures\n' in text
    assert re.search(r'2 worker\(s\) +\d+\.\d pictures/s', text)
    assert re.search(r'one process +\d+\.\d pictures/s', text)
    own, busy = re.search(
        r'memory +([\d.]+) MB of its own .*, up to (\d+) MB', text
    ).groups()
    assert 1 < float(own) < 300
    assert float(busy) > 1


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['--persons', '9', '--workers', '0'],
        ['--persons', '9', '--sample-interval', '0'],
        ['config.py', '--sample-interval', '2'],
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(SystemExit, match='2'):
        load_script(TOOL).main(arguments)
