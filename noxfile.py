# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Run a part of the tests with other versions of what they need.

Of Python, torch and OpenMMLab::

    nox                                      all combinations
    nox -s 'compat(onedl:3.12:2.8.0)'        one of them, see nox --list

The committed state is installed. The tests train, evaluate and predict with
small models; they take about 4 minutes of one core. Before that pip fetches
packages for minutes, and where the index offers torch for CUDA only, an
environment takes up to 8 GB; ``AIOS_TORCH_INDEX_URL`` names another index.
Combinations whose Python is not here are skipped. ``-R`` uses environments of
an earlier run again.
"""

from __future__ import annotations

import os

import nox

nox.options.sessions = ['compat']

COMBINATIONS = (
    ('onedl', '3.10', '2.4.1'),
    ('onedl', '3.11', '2.6.0'),
    ('onedl', '3.12', '2.8.0'),
    ('onedl', '3.12', '2.10.0'),
    ('onedl', '3.11', '2.14.1'),
    ('onedl', '3.13', '2.14.1'),
    ('openmmlab', '3.10', '2.4.1'),
)
TESTS = (
    'tests/test_packaging/test_imports.py',
    'tests/test_packaging/test_registry.py',
    'tests/test_utils',
    'tests/test_structures',
    'tests/test_datasets/test_human_dataset.py',
    'tests/test_datasets/test_transforms.py',
    'tests/test_ops/test_msda.py',
    'tests/test_body_models/test_smplx_layer.py',
    'tests/test_models/test_aios.py',
    'tests/test_models/test_checkpoints.py',
    'tests/test_models/test_inference.py',
    'tests/test_evaluation',
    'tests/test_engine',
    'tests/test_tools/test_train.py::test_two_parts_are_a_whole',
    'tests/test_tools/test_test.py',
    'tests/test_tools/test_quickstart.py',
    'tests/test_apis/test_inferencer.py',
    'tests/test_visualization/test_mesh.py',
    'tests/test_export/test_gltf.py',
)


@nox.session
@nox.parametrize(
    'family, python, torch',
    [nox.param(*row, id=':'.join(row)) for row in COMBINATIONS],
)
def compat(session: nox.Session, family: str, torch: str) -> None:
    """Install one family of packages and run the tests."""
    source = session.create_tmp()
    archive = os.path.join(source, 'source.tar')
    session.run('git', 'archive', '-o', archive, 'HEAD', external=True)
    session.run('tar', '-xf', archive, '-C', source, external=True)
    session.chdir(source)
    index = os.environ.get('AIOS_TORCH_INDEX_URL')
    options = ['--index-url', index] if index else []
    session.install('--no-cache-dir', *options, f'torch=={torch}')
    if family == 'onedl':
        install_onedl(session)
    else:
        install_openmmlab(session)
    session.run('python', '-m', 'aios', 'doctor')
    session.run(
        *('python', '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
        *('-m', 'not slow', *TESTS),
        env={'OMP_NUM_THREADS': '1'},
    )


def install_onedl(session: nox.Session) -> None:
    """As tools/run_tests.sh does it for users, with the torch that is there.

    Args:
        session: In a copy of the checkout.
    """
    session.run_install(
        *('bash', 'tools/setup_env.sh', 'tests'),
        env={'VIRTUAL_ENV': session.virtualenv.location},
        external=True,
    )


def install_openmmlab(session: nox.Session) -> None:
    """By hand: tools/setup_env.sh refuses these packages.

    setuptools 82 has no pkg_resources, which mmengine 0.10.7 imports;
    mmcv-lite is mmcv without compiled operators.

    Args:
        session: In a copy of the checkout.
    """
    session.install(
        *('setuptools>=77,<82', 'wheel', 'packaging'),
        *('mmengine==0.10.7', 'mmcv-lite==2.1.0', 'mmdet==3.3.0'),
        *('-r', 'requirements/runtime.txt', '-r', 'requirements/tests.txt'),
    )
    session.install(
        *('--force-reinstall', '--no-deps', 'opencv-python-headless>=5')
    )
    session.install('--no-deps', '--no-build-isolation', '--editable', '.')
