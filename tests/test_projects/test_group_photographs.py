# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Photographs out of archives of other projects."""

from __future__ import annotations

import hashlib
import tarfile

import cv2
import numpy as np
import pytest
from script_loader import ROOT, load_script


@pytest.fixture
def fetch(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'projects/free_model')
    return load_script('projects/free_model/fetch_group_photographs.py')


@pytest.fixture
def archive(fetch, tmp_path, monkeypatch):
    """An archive with two wanted images and another one."""
    path = tmp_path / 'project.tar.xz'
    with tarfile.open(path, 'w:xz') as tar:
        for name in ('data/group', 'data/cat', 'data/more/group', 'group'):
            image = tmp_path / 'image.jpg'
            cv2.imwrite(str(image), np.full((20, 2560, 3), 99, np.uint8))
            tar.add(image, f'project-1.0/{name}.jpg')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = fetch.Archive(path.as_uri(), digest, 'data', 'group', 'cat')
    monkeypatch.setattr(fetch, 'ARCHIVES', [found])
    return found


def test_images_by_kind(fetch, archive, tmp_path):
    out = tmp_path / 'work/groups/photos'
    fetch.main([str(out)])
    assert [x.name for x in (out / 'persons').iterdir()] == ['group.png']
    assert [x.name for x in (out / 'empty').iterdir()] == ['cat.png']
    image = cv2.imread(str(out / 'persons/group.png'))
    assert image.shape == (10, 1280, 3)
    with pytest.raises(SystemExit, match='exists; choose another folder'):
        fetch.main([str(out)])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(sha256='0' * 64), 'project.tar.xz: SHA-256 is not 0000'),
        (dict(persons='group dog'), r"project.tar.xz has no \['dog'\]"),
    ],
)
def test_other_archives_are_refused(
    fetch, archive, tmp_path, monkeypatch, change, message
):
    monkeypatch.setattr(fetch, 'ARCHIVES', [archive._replace(**change)])
    with pytest.raises(SystemExit, match=message):
        fetch.main([str(tmp_path / 'photos')])
    assert not (tmp_path / 'photos').exists()
