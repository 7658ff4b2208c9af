# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Each dataset can be looked at, from a miniature of its release."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from script_loader import load_script
from toy_releases import CONFIGS, RELEASES


@pytest.fixture(scope='module')
def browse():
    """Function that runs the command with some arguments."""
    module = load_script('tools/analysis_tools/browse_dataset.py')
    return lambda *arguments: module.main([str(a) for a in arguments])


def test_images_without_labels(browse, tmp_path, monkeypatch):
    """The test set of AGORA: nothing to draw, but the images are there."""
    monkeypatch.setenv('AIOS_DATA', str(tmp_path))
    image = tmp_path / 'datasets/agora/3840x2160/test/a.png'
    options = ('--phase', 'test', '--no-mesh', '--output-dir')
    with pytest.raises(SystemExit, match=r'agora/3840x2160/test.*AIOS_DATA'):
        browse(CONFIGS / 'agora.py', *options, tmp_path / 'out')
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.full((90, 160, 3), 77, np.uint8))
    browse(CONFIGS / 'agora.py', *options, tmp_path / 'out')
    drawn = cv2.imread(str(tmp_path / 'out/000000_a.jpg'))
    assert drawn.shape == (750, 1333, 3)
    inner = drawn[:-20, :-20].astype(int)  # the border blends into black
    assert np.abs(inner - 77).max() < 8


def test_config_of_a_model(browse):
    path = CONFIGS.parents[1] / 'aios/aios_r50.py'
    with pytest.raises(SystemExit, match=r'aios_r50\.py: contains no data'):
        browse(path)


@pytest.mark.parametrize('name', RELEASES)
def test_browse(browse, base_config, tmp_path, name, capsys):
    """Boxes and skeletons on the left, bodies on the right, where it can."""
    path, phase = base_config(name)
    out = tmp_path / 'look'
    # Images of AGORA are large: as the model sees them.
    mode = 'transformed' if name == 'agora' else 'original'
    options = ['--mode', mode, '--output-dir', out]
    if name != 'ehf':  # has but one
        options += ['--phase', phase]
    browse(path, '-n', 1, *options)
    (drawn,) = (p for p in out.iterdir() if p.name != 'contact_sheet.jpg')
    image = cv2.imread(str(drawn)).astype(int)
    labels, bodies = np.split(image, 2, axis=1)
    # Labels are colored, dots are white.
    assert (np.ptp(labels, axis=-1) > 100).any()
    shaded = (bodies.max(axis=-1) > 60) & (np.ptp(bodies, axis=-1) > 15)
    assert shaded.mean() > 0.003
    assert 'so no meshes are drawn' not in capsys.readouterr().out
