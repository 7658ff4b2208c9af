# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Prints the table of docs/en/notes/robustness.md.

PYTHONPATH=tests:tests/fuzz python tests/fuzz/print_table.py [CASES]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from fuzz.annotation_readers import annotation_readers
from fuzz.harness import make_cases, run_cases, table
from fuzz.result_readers import result_readers
from test_fuzz_files import READERS

from aios.body_models.free_body import expand_free_body


def main(count: int) -> None:
    results = {}
    models = str(expand_free_body())
    with tempfile.TemporaryDirectory() as root:
        for reader in (
            *READERS,
            *annotation_readers(Path(root, 'coco'), models),
            *result_readers(models),
        ):
            folder = Path(root, reader.name.replace(' ', '_'))
            cases = make_cases(reader, folder, count)
            results[reader.name] = run_cases(reader, cases)
            shutil.rmtree(folder)
    sys.stdout.write(table(results) + '\n')


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
