# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checkpoints by URL, from a server on this machine."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import hostile_pickles as hostile
import pytest
import torch
from fuzz.harness import CANARY
from mmengine.runner import CheckpointLoader

from aios.models.checkpoints import (
    CheckpointError,
    downloads,
    install_loader,
    load_checkpoint,
)


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """Folder that is served, and its URL."""
    monkeypatch.setattr(
        CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes)
    )
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()
        thread.join()


def test_downloads_are_data(server: tuple[Path, str]) -> None:
    folder, url = server
    code = f'open({str(folder / CANARY)!r}, "w").close()'
    body = hostile.runs_while_it_is_read(code)
    hostile.write_checkpoint(folder / 'evil.pth', body)
    install_loader()
    for read in (load_checkpoint, CheckpointLoader.load_checkpoint):
        with pytest.raises(CheckpointError, match=r'evil\.pth'):
            read(f'{url}/evil.pth', 'cpu')
    assert not (folder / CANARY).exists()


def test_weights_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder, as those who installed the package have no other."""
    monkeypatch.chdir(tmp_path)
    weights = load_checkpoint('aios://aios_s')['state_dict']
    assert 'backbone.stem.weight' in weights
    with pytest.raises(CheckpointError, match='aios_x.* only aios://aios_s'):
        load_checkpoint('aios://aios_x')


def test_hash_in_the_name(server: tuple[Path, str]) -> None:
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    digest = hashlib.sha256((folder / 'w.pth').read_bytes()).hexdigest()
    good, bad = f'net-{digest[:8]}.pth', 'net-00000000.pth'
    for name in (good, bad):
        (folder / name).write_bytes((folder / 'w.pth').read_bytes())
    assert load_checkpoint(f'{url}/{good}')['state_dict']['w'] == 1
    with pytest.raises(CheckpointError, match='SHA-256.*expected 00000000'):
        load_checkpoint(f'{url}/{bad}')


def test_a_download_that_was_changed(server: tuple[Path, str]) -> None:
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    assert load_checkpoint(f'{url}/w.pth')['state_dict']['w'] == 1
    kept = downloads.fetch(f'{url}/w.pth')
    torch.save({'w': torch.zeros(1)}, kept)
    with pytest.raises(CheckpointError, match='SHA-256.*delete the file'):
        load_checkpoint(f'{url}/w.pth')


def test_another_url_of_the_same_name(server: tuple[Path, str]) -> None:
    """Many checkpoints are called ``best.pth``."""
    folder, url = server
    for value in range(2):
        (folder / str(value)).mkdir()
        torch.save({'w': torch.ones(1) * value}, folder / f'{value}/best.pth')
    downloads.fetch(f'{url}/0/best.pth?token=secret')
    kept = downloads.fetch(f'{url}/0/best.pth')
    assert 'secret' not in kept.with_name('best.pth.sha256').read_text()
    with pytest.raises(
        CheckpointError, match=r'from 127.*0/best\.pth.*1/best'
    ):
        downloads.fetch(f'{url}/1/best.pth')


def test_a_shared_folder(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admin has put the file there, and nobody else may write."""
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    kept = downloads.fetch(f'{url}/w.pth')
    kept.with_name('w.pth.sha256').unlink()

    def write_text(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'write_text', write_text)
    assert load_checkpoint(f'{url}/w.pth')['state_dict']['w'] == 1


def test_a_process_on_another_machine(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process has fetched the file, but not to these disks."""
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    monkeypatch.setattr(downloads.dist, 'get_rank', lambda: 8)
    assert load_checkpoint(f'{url}/w.pth')['state_dict']['w'] == 1


def test_one_process_of_another_machine_downloads(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    calls = []
    download = torch.hub.download_url_to_file

    def slow_download(*args: str) -> None:
        calls.append(args)
        time.sleep(0.3)
        download(*args)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', slow_download)
    monkeypatch.setattr(downloads.dist, 'get_rank', lambda: 8)
    monkeypatch.setattr(downloads.dist, 'barrier', threading.Barrier(2).wait)
    with ThreadPoolExecutor(2) as pool:
        paths = [*pool.map(downloads.fetch, [f'{url}/w.pth'] * 2)]
    assert paths[0] == paths[1]
    assert len(calls) == 1
    assert not [*paths[0].parent.glob('*.lock')]


def test_names_of_mmengine(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    torch.save({'w': torch.ones(1)}, folder / 'w.pth')
    table = {'tiny': f'{url}/w.pth'}
    monkeypatch.setitem(downloads._TABLES, 'torchvision', lambda: table)
    install_loader()
    read = CheckpointLoader.load_checkpoint
    assert read('torchvision://tiny')['state_dict']['w'] == 1
    for name in ('torchvision://huge', 'mmcls://a', 's3://a/b.pth'):
        with pytest.raises(CheckpointError, match=name):
            read(name)
    with pytest.raises(CheckpointError, match='absent.pth: download failed'):
        read(f'{url}/absent.pth')
