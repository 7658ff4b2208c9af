# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Prints the table of docs/en/notes/robustness.md.

PYTHONPATH=tests:tests/fuzz python tests/fuzz/print_table.py [CASES]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fuzz.harness import make_cases, run_cases, table
from test_fuzz_files import READERS


def main(count: int) -> None:
    results = {}
    for reader in READERS:
        with tempfile.TemporaryDirectory() as folder:
            cases = make_cases(reader, Path(folder, 'cases'), count)
            results[reader.name] = run_cases(reader, cases)
    sys.stdout.write(table(results) + '\n')


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
