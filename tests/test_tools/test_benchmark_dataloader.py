# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of data loaders measures the dataset of a config."""

from __future__ import annotations

import re
import sys

import pytest
from script_loader import load_script

TOOL = 'tools/analysis_tools/benchmark_dataloader.py'
CONFIG = """
default_scope = '{project}'
custom_imports = dict(imports=['big_numbers'])
train_dataloader = dict(dataset=dict(type='BigNumbers'))
"""
DATASET = """
import numpy as np

from {project}.registry import DATASETS


@DATASETS.register_module(force=True)
class BigNumbers:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.kept = np.ones(5 << 20, np.uint8)
        return self.kept[:9]
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('project', ['aios', 'mmdet'])
def test_dataset_of_a_config(project, tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'big_numbers', raising=False)
    module, config = tmp_path / 'big_numbers.py', tmp_path / 'config.py'
    module.write_text(DATASET.format(project=project))
    config.write_text(CONFIG.format(project=project))
    options = ['--samples', '3', '--workers', '2', '--batch-size', '1']
    load_script(TOOL).main([str(config), *options])
    text = capfd.readouterr().out
    assert '4 images\n' in text
    for name in (r'2 worker\(s\)', 'one process'):
        rates = re.search(rf'{name} +([\d.]+) images/s, ([\d.]+) per', text)
        assert all(float(rate) > 0 for rate in rates.groups())
    (memory,) = re.findall(r'memory +(\d+) MB of unshared memory', text)
    assert 1 < float(memory) < 1000


@pytest.mark.parametrize('arguments', [[], ['config.py', '--workers', '0']])
def test_wrong_arguments(arguments):
    with pytest.raises(SystemExit, match='2'):
        load_script(TOOL).main(arguments)
