# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``docs/en/export.md`` says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from script_loader import page_blocks

from aios.structures import Mesh
from aios.visualization import render_meshes

PAGE = Path(__file__).parents[2] / 'docs/en/export.md'


@pytest.fixture
def page() -> str:
    return PAGE.read_text()


def test_loader_reproduces_the_overlay(
    dancers, layer, tmp_path, monkeypatch, capsys
) -> None:
    """The code of the page draws what the sequence says, from the file."""
    (code,) = page_blocks(PAGE)
    persons = dancers.select_frames([4])
    persons.save(tmp_path / 'params.npz')
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), image[..., ::-1])
    monkeypatch.chdir(tmp_path)
    # Not the free body that an earlier version left on this machine.
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path / 'cache'))
    exec(compile(code, str(PAGE), 'exec'), {})

    body = layer(**persons.smplx_parameters())
    wanted = render_meshes(
        [Mesh(vertices, layer.faces) for vertices in body.vertices],
        persons.K[0],
        480,
        640,
        background=image,
    )
    assert len(persons) == 2
    assert np.isin([0, 1], wanted.ids).all()
    overlay = cv2.imread('overlay.png')[..., ::-1]
    np.testing.assert_array_equal(overlay, wanted.image)
    printed = capsys.readouterr().out
    error = float(re.search(r'difference (\S+) px', printed)[1])
    assert error < 0.01
