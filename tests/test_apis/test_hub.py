# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folders and repositories of models, offline."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aios.apis import AiOSInferencer
from aios.apis.hub import hub_weights
from aios.utils.shipped import shipped_weights

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/model_converters/publish_model.py'
LICENSES = ['weights=CC-BY-4.0', 'body=CC0-1.0', 'data=drawn by "us"']


@pytest.fixture(scope='module')
def publish():
    return runpy.run_path(str(TOOL))['main']


@pytest.fixture(scope='module')
def folder(publish, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('hub') / 'aios_s'
    call = [str(shipped_weights()), 'aios_s', '--hub-folder', str(path)]
    publish([*call, '--licenses', *LICENSES])
    with pytest.raises(SystemExit, match=r'model\.safetensors exists'):
        publish([*call, '--licenses', *LICENSES])
    return path


def test_folder(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {'model.safetensors', 'config.py', 'README.md'}
    card = (folder / 'README.md').read_text()
    assert '| code | weights | body | data |' in card
    assert '| Apache-2.0 | CC-BY-4.0 | CC0-1.0 | drawn by "us" |' in card
    assert 'license_name: "CC-BY-4.0"' in card
    # Code that is put there is not run.
    (folder / 'config.py').write_text('raise SystemExit')
    inferencer = AiOSInferencer.from_pretrained(
        folder, device='cpu', score_thr=0.7
    )
    shipped = AiOSInferencer(device='cpu')
    assert inferencer.instance_filter.score_thr == 0.7
    assert inferencer.cfg.model == shipped.cfg.model


@pytest.mark.parametrize(
    'licenses',
    [[], LICENSES[:2], [*LICENSES, 'code=MIT'], [*LICENSES[:2], 'data=']],
)
def test_licenses_are_needed(publish, licenses, tmp_path: Path) -> None:
    call = [str(shipped_weights()), 'm', '--hub-folder', str(tmp_path / 'm')]
    options = ['--licenses', *licenses] if licenses else []
    with pytest.raises(
        SystemExit,
        match='--licenses must set each of weights, body, data once',
    ):
        publish([*call, *options])
    assert not (tmp_path / 'm').exists()


def test_licenses_need_a_folder(publish, tmp_path: Path) -> None:
    call = [str(shipped_weights()), str(tmp_path / 'm')]
    with pytest.raises(SystemExit, match='--licenses needs --hub-folder'):
        publish([*call, '--licenses', *LICENSES])
    assert not any(tmp_path.iterdir())


def test_repository(monkeypatch, tmp_path: Path) -> None:
    asked = []

    def download(*args: str, **options: str | None) -> str:
        asked.append((args, options))
        if 'nobody' in args[0]:
            raise OSError('404\nlong text')
        return str(tmp_path / 'cached')

    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', hub)
    assert hub_weights('team/model', 'v1') == tmp_path / 'cached'
    assert asked == [(('team/model', 'model.safetensors'), {'revision': 'v1'})]
    with pytest.raises(
        FileNotFoundError,
        match=r'nobody/x: must be a folder or a repository.*\(404\)',
    ):
        hub_weights('nobody/x')


def test_what_is_missing(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r'model\.safetensors: no such file'
    ):
        hub_weights(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ValueError, match='pip install huggingface_hub'):
        hub_weights('team/model')
