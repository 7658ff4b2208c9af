# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Digests change with the content, and with nothing else."""

from __future__ import annotations

from pathlib import Path

from aios.utils.digests import digest, file_sha256


def test_digests(tmp_path: Path):
    assert digest(dict(a=1, b=Path('x'))) == digest(dict(b=Path('x'), a=1))
    assert digest([1]) != digest([2])
    path = tmp_path / 'weights.pth'
    path.write_bytes(b'abc')
    # FIPS 180-4, example of SHA-256
    assert file_sha256(path).startswith('ba7816bf8f01cfea414140de5dae2223')
