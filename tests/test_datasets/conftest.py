# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A small HumanData file with known content and its images."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from toy_bodies import paint
from toy_human_data import HEIGHT, WIDTH, toy_arrays
from toy_releases import CONFIGS, RELEASES

from aios.datasets import HumanData, HumanDataset
from aios.datasets.converters import convert


@pytest.fixture
def arrays():
    """Content of a toy file: images with 2, 1 and 3 persons."""
    return toy_arrays()


class ToyFile(SimpleNamespace):
    """An annotation file, ``ann_file``, with images below ``root``."""

    def open(self, kind=HumanDataset, **options):
        return kind(self.ann_file, str(self.root), **options)

    def labels(self, kind=HumanDataset, index=0, **options):
        """Labels of one image."""
        dataset = self.open(kind, **options)
        return dataset.get_data_info(index)['instances_arrays']


@pytest.fixture
def toy(arrays, tmp_path):
    """Writes a toy file and its images; call it with changed arrays."""

    def write(content=None, name='humandata.npz', compress=False):
        content = arrays if content is None else content
        data = HumanData(content)
        if compress:
            data.compress()
        path = tmp_path / name
        data.dump(path, overwrite=True)
        for image in set(content['image_path']):
            target = tmp_path / image
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                _draw_noise(target)
        return ToyFile(root=tmp_path, ann_file=str(path))

    return write


def _draw_noise(path: Path) -> None:
    rng = np.random.default_rng(len(str(path)))
    img = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(path), img)


@pytest.fixture(scope='session')
def models(free_body_dir):
    """Folder of the free body."""
    return str(free_body_dir)


@pytest.fixture(scope='session')
def converted(models, tmp_path_factory):
    """Name of a release -> (root, truth, file, summary), converted once."""
    done = {}

    def get(name):
        if name not in done:
            write, kind, split, _, images = RELEASES[name]
            root = tmp_path_factory.mktemp(name)
            truth = write(root, np.random.default_rng(3), models)
            paint(root / images, truth)
            out = root / 'out' / f'{name}.npz'
            summary = convert(kind(root, split, models), out)
            done[name] = root, truth, out, summary
        return done[name]

    return get


@pytest.fixture
def release(converted, models, tmp_path):
    """Name of a release -> (root of a copy, function that converts it)."""

    def get(name):
        kind, split = RELEASES[name][1:3]
        root = tmp_path / name
        source = converted(name)[0]
        shutil.copytree(source, root, ignore=shutil.ignore_patterns('out'))

        def run(out=tmp_path / 'again.npz'):
            converter = kind(root, split, models)
            summary = convert(converter, out, overwrite=True)
            return HumanData.load(out), summary

        return root, run

    return get


@pytest.fixture
def base_config(converted, models, tmp_path, monkeypatch):
    """Name of a release -> its base file and phase; ``AIOS_DATA`` holds it.

    The release lies where ``data/README.md`` says, its annotation file where
    the converter writes it.
    """

    def get(name):
        root, _, out, _ = converted(name)
        monkeypatch.setenv('AIOS_DATA', str(tmp_path / 'data'))
        monkeypatch.setenv('AIOS_BODY_MODELS', models)
        path = CONFIGS / f'{name}.py'
        phase = {'arctic': 'val', 'ehf': 'test'}.get(name, 'train')
        options = Config.fromfile(path)[f'{name}_{phase}']
        place = tmp_path / 'data' / options.ann_file[0]
        place.parent.mkdir(parents=True)
        place.symlink_to(out)
        images = tmp_path / 'data' / options.data_prefix.img
        images.parent.mkdir(parents=True, exist_ok=True)
        images.symlink_to(root / RELEASES[name][4])
        return path, phase

    return get
