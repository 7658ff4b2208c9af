# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from script_loader import load_script

TOOL = Path(__file__).parents[2] / 'tools/make_synthetic_dataset.py'


@pytest.fixture(scope='module')
def tool():
    return load_script(TOOL)


def test_makes_a_data_set_and_refuses_to_do_it_twice(
    tool, tmp_path, capsys, free_body_dir
):
    command = [
        str(tmp_path / 'set'),
        *['--images', '2', '--seed', '1', '--size', '96x64', '--persons', '1'],
        *('--body', str(free_body_dir), '--genders', 'neutral'),
    ]
    assert tool.main(command) == 0
    assert 'images 2' in capsys.readouterr().out
    assert (tmp_path / 'set/humandata.npz').is_file()
    assert tool.main(command) == 1
    assert '--resume' in capsys.readouterr().err
    assert tool.main([*command, '--resume']) == 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('--images 0', 'is not 1 or more'),
        ('--images 2 --size 640', 'not WIDTHxHEIGHT'),
        ('--images 2 --size 8x8', '64 to 8192'),
        ('--images 2 --persons 5-2', '1 to 30'),
        ('--images 2 --persons many', 'not a number'),
        ('--images 2 --fill 1-2-3', 'not a number or a range'),
        ('--images 2 --fill 1-0.7', '0.1 to 3, ascending'),
        ('--images 2 --genders other', 'allowed are neutral'),
        ('--images 2 --resume --overwrite', 'not allowed with'),
        ('--images 2 --sequences 2', 'not allowed with'),
        ('--images 2 --quality 0', '1 to 100'),
        ('--sequences 1 --video 1', 'at least 2 frames'),
        ('--images 2 --mp4', '--mp4 need --sequences'),
        ('--images 2 --video 9', '--mp4 need --sequences'),
        ('--images 2 --photographic --fill 1', 'exclude --photographic'),
        ('', 'required'),
    ],
)
def test_bad_arguments_are_refused(tool, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        tool.main(['out', *arguments.split()])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_body_and_backgrounds_are_explained(tool, tmp_path, capsys):
    out = str(tmp_path / 'set')
    code = tool.main([out, '--images', '1', '--body', str(tmp_path / 'no')])
    assert code == 1
    assert 'https://smpl-x.is.tue.mpg.de' in capsys.readouterr().err
    code = tool.main(
        [out, '--images', '1', '--backgrounds', str(tmp_path / 'no')]
    )
    assert code == 1
    assert 'does not exist' in capsys.readouterr().err
    assert not (tmp_path / 'set').exists()


@pytest.mark.slow
def test_killed_run_leaves_no_processes(tmp_path, free_body_dir):
    command = [sys.executable, str(TOOL), str(tmp_path / 'out')]
    command += ['--images', '500', '--size', '96x64', '--workers', '2']
    command += ['--body', str(free_body_dir), '--genders', 'neutral']
    run = subprocess.Popen(
        command,
        cwd=TOOL.parents[1],
        env={**os.environ, 'PYTHONPATH': str(TOOL.parents[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    images = tmp_path / 'out/images'
    try:
        wait_until(lambda: run.poll() is not None or any(images.glob('*')))
        assert run.poll() is None
    finally:
        run.kill()
        run.wait()
    wait_until(lambda: not group_is_alive(run.pid))


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def group_is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
