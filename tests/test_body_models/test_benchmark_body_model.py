# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark runs and shows that joints alone cost less memory."""

from __future__ import annotations

from pathlib import Path

import torch
from script_loader import load_script


def test_benchmark_prints_a_table(free_body_dir: Path, capsys) -> None:
    module = load_script('tools/analysis_tools/benchmark_body_model.py')
    threads = torch.get_num_threads()
    options = f'--model-path {free_body_dir} --batch-sizes 2 --repeats 1'
    try:
        module.main(options.split())
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip('| ').split(' | ') for line in lines]
    kept = {row[1]: float(row[-1]) for row in rows if row[0] == '2'}
    assert 0 < kept['no'] < 0.2 * kept['yes']
