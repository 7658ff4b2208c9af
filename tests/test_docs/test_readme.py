# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The code of the README runs."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest
import skimage
from script_loader import page_blocks


def test_body(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(page_blocks('README.md')[1], 'README.md', 'exec'), {})
    said = capsys.readouterr().out
    assert '[1, 10475, 3]' in said
    assert '[1, 144, 3]' in said


def test_inferencer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    astronaut = Path(skimage.__file__).with_name('data') / 'astronaut.png'
    cv2.imwrite('photo.jpg', cv2.imread(str(astronaut)))
    exec(compile(page_blocks('README.md')[0], 'README.md', 'exec'), {})
    said = capsys.readouterr().out
    assert re.search(r'photo \[[^(]*\(\d+, 10475, 3\)', said)
