# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What a wheel, an sdist and an editable installation contain."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from script_loader import load_script, run_python

ROOT = Path(__file__).parents[2]
IGNORED = shutil.ignore_patterns(
    '.*', '__pycache__', '*.egg-info', 'build', 'data', 'outputs', 'tests'
)
MIM_FILES = {
    'aios/.mim/model-index.yml',
    'aios/.mim/configs/_base_/default_runtime.py',
    'aios/.mim/tools/run_tests.sh',
}
PACKAGE_FILES = {
    'aios/__init__.py',
    'aios/py.typed',
    'aios/body_models/assets/LICENSE',
    'aios/body_models/assets/free_body_neutral.npz',
}


def _build(kind: str, source: Path, out: Path) -> Path:
    """Do what pip does: call one hook of the build backend (PEP 517/660)."""
    out.mkdir(parents=True, exist_ok=True)
    code = (
        'import sys; sys.stdout = sys.stderr\n'
        'from setuptools import build_meta\n'
        f'name = build_meta.build_{kind}({str(out)!r})\n'
        'print(name, file=sys.__stdout__)'
    )
    printed = run_python('-c', code, cwd=source)
    return out / printed.strip().splitlines()[-1]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the checkout, because building leaves things behind."""
    return shutil.copytree(ROOT, tmp_path / 'source', ignore=IGNORED)


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and an sdist of the checkout, and a wheel of that sdist."""
    root = tmp_path_factory.mktemp('built')
    source = shutil.copytree(ROOT, root / 'source', ignore=IGNORED)
    sdist = _build('sdist', source, root / 'sdist')
    with tarfile.open(sdist) as archive:
        archive.extractall(root / 'unpacked', filter='data')
    (unpacked,) = (root / 'unpacked').iterdir()
    return {
        'wheel': _build('wheel', source, root / 'wheel'),
        'sdist': sdist,
        'wheel of sdist': _build('wheel', unpacked, root / 'wheel_of_sdist'),
    }


@pytest.mark.parametrize('kind', ['wheel', 'wheel of sdist'])
def test_wheel_holds_package_and_mim(built: dict[str, Path], kind: str):
    with zipfile.ZipFile(built[kind]) as wheel:
        names = set(wheel.namelist())
        metadata = next(n for n in names if n.endswith('dist-info/METADATA'))
        text = wheel.read(metadata).decode()
    assert names >= MIM_FILES | PACKAGE_FILES
    debris = ('__pycache__', '.pyc', '.log')
    assert not [n for n in names if any(part in n for part in debris)]
    tops = {name.split('/')[0] for name in names}
    assert len(tops) == 2, f'only aios and its metadata, got {tops}'
    assert 'License-Expression: Apache-2.0 AND CC0-1.0' in text


def test_wheel_does_not_depend_on_the_way(built: dict[str, Path]):
    def names(kind: str) -> set[str]:
        with zipfile.ZipFile(built[kind]) as wheel:
            return set(wheel.namelist())

    assert names('wheel') == names('wheel of sdist')


def test_sdist_holds_real_files(built: dict[str, Path]):
    with tarfile.open(built['sdist']) as archive:
        members = archive.getmembers()
    assert all(member.isfile() or member.isdir() for member in members)
    names = {member.name.partition('/')[2] for member in members}
    assert names >= MIM_FILES | PACKAGE_FILES
    assert names >= {'setup.py', 'LICENSE', 'requirements/runtime.txt'}
    assert names >= {'noxfile.py', 'docker/Dockerfile'}


@pytest.mark.parametrize('mode', ['lenient', 'strict'])
def test_editable_installation_finds_mim(
    source: Path, tmp_path: Path, mode: str
):
    site = tmp_path / 'site'
    settings = f'{{"editable_mode": {mode!r}}}'
    code = (
        'from setuptools import build_meta\n'
        f'build_meta.build_editable({str(tmp_path)!r}, {settings})'
    )
    run_python('-c', code, cwd=source)
    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    # Without site, an installation of the checkout itself is not in the way.
    code = f"""
import site, sys
site.addsitedir({str(site)!r})
sys.path.append({sysconfig.get_paths()['purelib']!r})
from mmengine import Config
from mmengine.utils import get_installed_path
mim = get_installed_path('aios') + '/.mim'
Config.fromfile(mim + '/configs/_base_/default_runtime.py')
import aios
print(mim)
print(aios.__file__)
"""
    mim, file = run_python('-S', '-c', code, cwd=tmp_path).split()
    assert {f'aios/.mim/{name}' for name in _files(Path(mim))} >= MIM_FILES
    assert Path(file).is_relative_to(source)


def _files(root: Path) -> set[str]:
    walk = os.walk(root, followlinks=True)
    paths = [Path(folder, name) for folder, _, names in walk for name in names]
    return {path.relative_to(root).as_posix() for path in paths}


def test_editable_installation_links(source: Path):
    load_script(source / 'setup.py').link_mim()
    link = source / 'aios' / '.mim' / 'tools'
    assert link.is_symlink()
    assert not link.readlink().is_absolute(), 'a moved checkout must work'
    (source / 'tools' / 'new.py').touch()
    assert (link / 'new.py').is_file()


def test_mim_is_copied_where_links_are_not_allowed(
    source: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(self: Path, target: Path, target_is_directory: bool = False):
        raise OSError('no privilege')

    monkeypatch.setattr(Path, 'symlink_to', refuse)
    load_script(source / 'setup.py').link_mim()
    for name in MIM_FILES:
        path = source / name
        assert path.is_file()
        assert not path.is_symlink()


def test_wheel_after_editable_installation_has_copies(
    source: Path, tmp_path: Path
):
    load_script(source / 'setup.py').link_mim()
    wheel = _build('wheel', source, tmp_path / 'wheel')
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) >= MIM_FILES
    assert (source / 'aios/.mim/tools').is_symlink(), 'the checkout is kept'


def test_missing_folders_are_left_out(source: Path):
    shutil.rmtree(source / 'configs')
    setup = load_script(source / 'setup.py')
    setup.link_mim()
    assert (source / 'aios/.mim/tools').is_dir()
    assert not (source / 'aios/.mim/configs').exists()
    assert not (source / 'aios/.mim/configs').is_symlink()
