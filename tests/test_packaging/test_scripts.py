# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The set-up scripts: how they fail, what they keep, when they do nothing.

pip never runs here. A folder with a made-up ``bin/python`` plays the active
environment; that interpreter is the one of the tests, unless a test says
otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ('setup_env.sh', 'quickstart.sh', 'run_tests.sh', 'train_demo.sh')

pytestmark = pytest.mark.skipif(
    shutil.which('bash') is None, reason='needs bash'
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of a checkout that the scripts look at."""
    root = tmp_path / 'checkout'
    ignored = shutil.ignore_patterns('__pycache__')
    for name in ('requirements', 'tools'):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ('pyproject.toml', 'setup.py'):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment whose Python is the one that runs the tests."""
    prefix = tmp_path / 'environment'
    _write_python(prefix, f'exec {sys.executable} "$@"')
    return prefix


def _write_python(prefix: Path, script: str) -> None:
    python = prefix / 'bin' / 'python'
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\n{script}\n')
    python.chmod(0o755)


def _bash(
    checkout: Path, script: str, **variables: str
) -> subprocess.CompletedProcess:
    """Source setup_env.sh, then run the script, without an environment."""
    outer = ('VIRTUAL_ENV', 'CONDA_PREFIX', 'CONDA_DEFAULT_ENV')
    env = {k: v for k, v in os.environ.items() if k not in outer}
    return subprocess.run(
        ['bash', '-c', f'. tools/setup_env.sh\n{script}', 'script.sh'],
        cwd=checkout,
        env=env | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    'path', sorted(ROOT.glob('tools/**/*.sh')), ids=lambda path: path.name
)
def test_syntax_and_permission(path: Path):
    subprocess.run(['bash', '-n', str(path)], check=True)
    assert os.access(path, os.X_OK)


def test_no_private_index_in_any_script_or_requirement():
    files = [*(ROOT / 'requirements').glob('*.txt'), ROOT / 'pyproject.toml']
    files += [ROOT / 'tools' / name for name in SCRIPTS]
    for file in files:
        text = file.read_text()
        assert 'find-links' not in text
        assert 'http' not in text.replace('https://mmengine', '')


class TestStep:
    def test_says_what_it_does_and_logs_the_rest(self, checkout: Path):
        result = _bash(checkout, 'start_log; step "make tea" echo boiling')
        assert result.returncode == 0
        assert 'make tea ... done' in result.stdout
        assert 'boiling' not in result.stdout
        log = checkout / 'outputs/logs/script.log'
        assert f'log: {log}' in result.stdout
        assert 'boiling' in log.read_text()

    def test_failure_names_step_status_log_and_reason(self, checkout: Path):
        script = (
            'start_log\n'
            'step "make tea" sh -c "echo no water >&2; exit 7"\n'
            'echo went on'
        )
        result = _bash(checkout, script)
        assert result.returncode == 1
        assert 'make tea ... FAILED' in result.stdout
        assert 'step "make tea" failed with exit status 7' in result.stderr
        assert 'no water' in result.stderr
        assert 'outputs/logs/script.log' in result.stderr
        assert 'went on' not in result.stdout


class TestChoosePython:
    def test_active_environment_is_used(
        self, checkout: Path, environment: Path
    ):
        for name in ('VIRTUAL_ENV', 'CONDA_PREFIX'):
            result = _bash(
                checkout,
                'start_log; choose_environment; echo "$PYTHON"',
                CONDA_DEFAULT_ENV='mine',
                **{name: str(environment)},
            )
            assert result.returncode == 0, result.stderr
            assert result.stdout.endswith(f'{environment}/bin/python\n')
        assert not (checkout / '.venv').exists()

    def test_conda_base_is_not_chosen(self, checkout: Path, environment: Path):
        _write_python(checkout / '.venv', 'exit 0')
        result = _bash(
            checkout,
            'start_log; choose_environment; echo "$PYTHON"',
            CONDA_DEFAULT_ENV='base',
            CONDA_PREFIX=str(environment),
        )
        assert result.stdout.endswith(f'{checkout}/.venv/bin/python\n')

    def test_environment_with_old_python_is_refused(
        self, checkout: Path, environment: Path
    ):
        _write_python(environment, 'exit 1')
        result = _bash(
            checkout,
            'start_log; choose_environment',
            VIRTUAL_ENV=str(environment),
        )
        assert result.returncode == 1
        assert 'older than 3.10' in result.stderr

    def test_no_python_at_all(self, checkout: Path):
        result = _bash(checkout, 'find_python', AIOS_PYTHON='/no/such/python')
        assert result.returncode == 1
        assert 'no Python >= 3.10' in result.stderr
        assert 'python3-venv' in result.stderr

    def test_python_in_a_folder_with_spaces(
        self, checkout: Path, tmp_path: Path
    ):
        _write_python(tmp_path / 'Program Files', 'exit 0')
        python = f'{tmp_path}/Program Files/bin/python'
        result = _bash(checkout, 'find_python', AIOS_PYTHON=python)
        assert result.stdout == f'{python}\n', result.stderr


class TestWhatIsThere:
    """Stands in for distributions by folders of metadata."""

    @staticmethod
    def install(folder: Path, **packages: str) -> dict[str, str]:
        for name, version in packages.items():
            info = folder / f'{name}-{version}.dist-info'
            info.mkdir(parents=True)
            info.joinpath('METADATA').write_text(
                f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
            )
        # First on the path, so it hides what is really installed.
        return {'PYTHONPATH': str(folder)}

    def test_torch_and_mmcv_are_pinned_as_they_are(
        self, checkout: Path, environment: Path, tmp_path: Path
    ):
        variables = self.install(
            tmp_path / 'site',
            torch='2.8.0+cu128',
            torchvision='0.23.0+cu128',
            onedl_mmcv='2.3.9',
        )
        result = _bash(
            checkout,
            'start_log; choose_environment; write_constraints\n'
            'cat "$CONSTRAINTS"',
            VIRTUAL_ENV=str(environment),
            **variables,
        )
        lines = result.stdout.splitlines()
        pins = dict(line.split('==', 1) for line in lines if '==' in line)
        assert pins['torch'] == '2.8.0+cu128'
        assert pins['torchvision'] == '0.23.0+cu128'
        assert pins['onedl-mmcv'] == '2.3.9'
        assert 'numpy' in pins

    def test_the_other_family_is_refused(
        self, checkout: Path, environment: Path, tmp_path: Path
    ):
        variables = self.install(tmp_path / 'site', mmcv='2.1.0', mmdet='3.3')
        result = _bash(
            checkout,
            'setup_environment',
            VIRTUAL_ENV=str(environment),
            **variables,
        )
        assert result.returncode == 1
        assert 'mmcv==2.1.0 mmdet==3.3' in result.stderr

    @pytest.mark.parametrize('index', ['', 'https://example.org/cpu'])
    def test_only_torch_comes_from_its_index(self, checkout: Path, index: str):
        """PyTorch's have versions of its needs that constraints exclude."""
        script = (
            'CONSTRAINTS=requirements/constraints.txt\n'
            'pip_install() { echo "pip $*"; }\n'
            'install_torch'
        )
        result = _bash(checkout, script, AIOS_TORCH_INDEX_URL=index)
        assert result.returncode == 0, result.stderr
        *first, last = result.stdout.splitlines()
        assert re.fullmatch(r'pip torch==[\d.]+', last)
        asked = last.replace('pip', f'pip --no-deps --index-url {index}')
        assert first == ([asked] if index else [])


class TestUpToDate:
    SET_UP = 'setup_environment tests'

    @pytest.fixture
    def stamped(self, checkout: Path, environment: Path) -> Path:
        stamp = environment / 'aios-setup-tests.stamp'
        script = f'fingerprint tests > {stamp}'
        assert _bash(checkout, script).returncode == 0
        return stamp

    def test_nothing_to_do(
        self, checkout: Path, environment: Path, stamped: Path
    ):
        result = _bash(
            checkout,
            self.SET_UP,
            VIRTUAL_ENV=str(environment),
            PYTHONPATH=str(ROOT),
        )
        assert result.returncode == 0, result.stderr
        assert 'nothing to do' in result.stdout

    @pytest.mark.parametrize(
        'name', ['requirements/tests.txt', 'pyproject.toml', 'setup.py']
    )
    def test_changed_requirements_are_installed(
        self, checkout: Path, environment: Path, stamped: Path, name: str
    ):
        with (checkout / name).open('a') as file:
            file.write('# changed\n')
        script = (
            f'PYTHON={environment}/bin/python\n'
            f'is_up_to_date {stamped} tests && echo fresh || echo stale'
        )
        assert _bash(checkout, script).stdout.strip() == 'stale'

    def test_a_package_that_is_gone_is_installed_again(
        self, checkout: Path, environment: Path, stamped: Path
    ):
        _write_python(environment, f'exec {sys.executable} -S "$@"')
        script = (
            f'PYTHON={environment}/bin/python\n'
            f'is_up_to_date {stamped} tests && echo fresh || echo stale'
        )
        assert _bash(checkout, script).stdout.strip() == 'stale'


def test_the_tests_of_other_versions_are_there():
    names = re.findall(r"'(tests/[^:']+)", (ROOT / 'noxfile.py').read_text())
    assert len(names) > 10
    assert [name for name in names if not (ROOT / name).exists()] == []
