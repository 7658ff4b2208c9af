# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The commands of MIM, with a wheel that somebody installed.

The slow tests do it: an environment of its own, away from the checkout, where
pip installs a wheel of this project and ``onedl-mim`` from the package index.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from script_loader import load_script

ROOT = Path(__file__).parents[2]
CONFIG = 'aios_tiny_1xb8-24e_synthetic'
HERE_ONLY = '.*', '__pycache__', '*.egg-info', 'data', 'outputs', 'tests'


def _shipped_scripts() -> list[Path]:
    files = load_script('setup.py').mim_files()
    return [path for path in files if path.suffix == '.py']


def _metafile() -> dict:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    (path,) = index['Import']
    return yaml.safe_load((ROOT / path).read_text())


def test_metafile_is_complete():
    content = _metafile()
    collections = {item['Name'] for item in content['Collections']}
    names = [model['Name'] for model in content['Models']]
    configs = {path.stem for path in (ROOT / 'configs/aios').glob('*.py')}
    assert len(names) == len(configs)
    assert set(names) == configs
    for item in content['Collections']:
        assert (ROOT / item['README']).is_file()
    for model in content['Models']:
        assert model['In Collection'] in collections
        assert (ROOT / model['Config']).is_file(), model['Config']
        for result in model.get('Results') or []:
            assert result['Task'] and result['Dataset'] and result['Metrics']


def test_mim_finds_tools_by_their_name():
    """MIM takes the first of several scripts of a name."""
    shipped = _shipped_scripts()
    names = Counter(p.name for p in shipped if p.parts[0] == 'tools')
    for name in ('train', 'test', 'browse_dataset', 'get_flops'):
        assert names[f'{name}.py'] == 1


def test_mim_finds_configs_by_their_name():
    """It refuses a name that there are several of."""
    shipped = _shipped_scripts()
    package = [p.relative_to(ROOT) for p in ROOT.glob('aios/configs/**/*.py')]
    names = Counter(p.name for p in [*shipped, *package])
    for model in _metafile()['Models']:
        # Models only are there to be inherited, by their path.
        if {'Metadata', 'Published Results'} & set(model):
            assert names[Path(model['Config']).name] == 1


# -------------------------------------------------------------- the real thing

Run = Callable[..., str]


class Environment:
    """A virtual environment that sees torch and OpenMMLab of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._call(sys.executable, '-m', 'venv', folder)
        version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
        self.site = folder / 'lib' / version / 'site-packages'
        # Only a path: editable installations of there are not followed.
        here = sysconfig.get_paths()['purelib']
        self.site.joinpath('torch_of_elsewhere.pth').write_text(here)

    def run(self, *command: object, cwd: Path) -> str:
        """Run one of its programs, and get what it writes."""
        program, *args = command
        return self._call(self.folder / 'bin' / str(program), *args, cwd=cwd)

    @staticmethod
    def _call(*command: object, cwd: Path | None = None) -> str:
        env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        # Numba's files stay in the package's folder when it is uninstalled,
        # and an editable installation cannot take its place.
        env['NUMBA_CACHE_DIR'] = tempfile.gettempdir() + '/numba'
        result = subprocess.run(
            [*map(str, command)],
            cwd=cwd,
            env=env | {'OMP_NUM_THREADS': '1', 'COLUMNS': '200'},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, because building leaves things behind."""
    ignore = shutil.ignore_patterns(*HERE_ONLY)
    folder = tmp_path_factory.mktemp('source') / 'aios'
    return shutil.copytree(ROOT, folder, ignore=ignore)


@pytest.fixture(scope='module')
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With MIM in it."""
    folder = tmp_path_factory.mktemp('environment')
    environment = Environment(folder)
    try:
        environment.run(
            'pip', 'install', '-q', 'onedl-mim', 'setuptools', 'wheel',
            '-c', ROOT / 'requirements/constraints.txt', cwd=folder,
        )  # fmt: skip
    except AssertionError as error:
        if 'No matching distribution' in str(error):
            pytest.skip('there is no package index here')
        raise
    return environment


@pytest.fixture(scope='module')
def mim(environment: Environment, source: Path, tmp_path_factory) -> Run:
    """Runs ``mim`` in an empty folder, after the wheel was installed."""
    folder = tmp_path_factory.mktemp('wheel')
    offline = '--no-deps', '--no-build-isolation', '--no-index'
    pip = functools.partial(environment.run, 'pip', cwd=folder)
    pip('wheel', '-q', *offline, '-w', folder, source)
    (wheel,) = folder.glob('*.whl')
    pip('install', '-q', *offline, wheel)
    return functools.partial(
        environment.run, 'mim', cwd=tmp_path_factory.mktemp('work')
    )


@pytest.fixture(scope='module')
def images(tmp_path_factory: pytest.TempPathFactory, mim: Run) -> Path:
    folder = tmp_path_factory.mktemp('images') / 'train'
    mim('run', 'aios', 'make_synthetic_dataset', folder, '--images', 3,
        '--size', '96x72', '--persons', '1-2', '--supersample', 1)  # fmt: skip
    return folder


@pytest.fixture(scope='module')
def training(mim: Run, images: Path, tmp_path_factory) -> Path:
    """Work folder of a training that MIM started by the config's name."""
    work_dir = tmp_path_factory.mktemp('training')
    text = mim(
        'train', 'aios', f'{CONFIG}.py', '--work-dir', work_dir,
        '--cfg-options', 'train_cfg.max_epochs=1', 'val_dataloader=None',
        'val_cfg=None', 'val_evaluator=None', 'train_dataloader.batch_size=1',
        'train_dataloader.sampler.epoch_length=2',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.save_best=None',
        f'train_dataloader.dataset.datasets.0.data_root={images}/',
    )  # fmt: skip
    assert '.mim/tools/train.py' in text
    return work_dir


@pytest.mark.slow
def test_train_and_test(mim: Run, images: Path, training: Path):
    checkpoint = training / 'epoch_1.pth'
    text = mim(
        'test', 'aios', f'{CONFIG}.py', '-C', checkpoint, '--work-dir',
        training, '--cfg-options', 'test_evaluator.score_thr=0',
        f'test_dataloader.dataset.data_root={images}/',
    )  # fmt: skip
    assert 'whole_body/F1' in text


@pytest.mark.slow
def test_search(mim: Run):
    names = [model['Name'] for model in _metafile()['Models']]
    for options in (
        [],
        ['--valid-config'],
        ['--model', 'aios', '--sort', 'epochs'],
    ):
        text = mim('search', 'aios', *options)
        assert not [name for name in names if name not in text]


@pytest.mark.slow
def test_install_editable(
    mim: Run, environment: Environment, source: Path, tmp_path: Path
):
    """Last: it takes the place of the wheel."""
    mim('install', '--no-deps', '--no-build-isolation', '-e', source)
    code = 'import aios; print(aios.__file__)'
    file = environment.run('python', '-c', code, cwd=tmp_path).split()[-1]
    assert Path(file).is_relative_to(source)
    assert CONFIG in mim('search', 'aios', '--valid-config')
    config = f'configs/aios/{CONFIG}.py'
    for name in (source / config, f'aios::aios/{CONFIG}.py'):
        assert "type='AiOS'" in mim('run', 'aios', 'print_config', name)
