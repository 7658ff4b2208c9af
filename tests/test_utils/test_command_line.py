# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options that the tools share."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from script_loader import run_python

from aios.utils import command_line

ROOT = Path(__file__).parents[2]


def test_options_and_their_defaults():
    parser = command_line.make_parser('a\n  b')
    command_line.add_config_argument(parser)
    command_line.add_shape_option(parser, default=(48, 64))
    command_line.add_measuring_options(parser)
    command_line.add_body_models_option(parser)
    group = parser.add_argument_group('run')
    command_line.add_cfg_options(group)
    command_line.add_overwrite_option(group, 'all files')
    assert vars(parser.parse_args(['c.py'])) == dict(
        config='c.py', shape=[48, 64], device='cpu', threads=None, repeats=5,
        warmup=1, clock='wall', body_models=None, cfg_options=None,
        overwrite=False,
    )  # fmt: skip
    args = parser.parse_args(
        ['c.py', '--shape', '2', '3', '--overwrite']
        + ['--cfg-options', 'a.b=1', 'c=x']
    )
    assert (args.config, args.shape, args.overwrite) == ('c.py', [2, 3], True)
    assert args.cfg_options == {'a.b': 1, 'c': 'x'}
    for option in (['--shape', '0', '3'], ['--repeats', '0']):
        with pytest.raises(SystemExit):
            parser.parse_args(['c.py', *option])
    text = parser.format_help()
    assert 'a\n  b\n' in text, 'as it is written'
    assert 'default: 48 64' in text
    assert 'replace all files' in text


def test_names_that_the_output_cannot_encode():
    """Such as those of files on Windows, if the output is redirected."""
    code = """
from aios.utils.command_line import errors_in_one_line
with errors_in_one_line():
    print('\\u65e5.jpg')
"""
    printed = run_python('-c', code, PYTHONIOENCODING='cp1252')
    assert printed.strip() == '\\u65e5.jpg'


def test_config_is_required_unless_said_otherwise():
    parser = command_line.make_parser(None)
    command_line.add_config_argument(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([])


@pytest.mark.parametrize(
    'name',
    [str(ROOT / 'configs/aios/aios_r50.py'), 'aios::aios/aios_r50.py'],
)
def test_config_of_a_file_or_a_package(name: str):
    config = command_line.read_config(name, {'model.num_queries': 7})
    assert config.model.type == 'AiOS'
    assert config.model.num_queries == 7
    assert command_line.read_config(name).model.num_queries == 900


def test_options_are_for_configs_of_the_same_package():
    ours, theirs = 'configs/aios/aios_r50.py', 'mmdet::dino/dino-4scale.py'
    names = [ours, theirs, 'aios::aios/aios_r18.py']
    options = {'model.num_queries': 7}
    assert command_line.options_by_config(names, options) == [
        options,
        {},
        options,
    ]
    assert command_line.options_by_config([theirs, ours], options) == [
        options,
        {},
    ]
    assert command_line.options_by_config(names, None) == [{}, {}, {}]
    titles = [command_line.config_title(name) for name in names]
    assert titles == ['aios_r50', 'dino-4scale', 'aios_r18']


def test_missing_config(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r'absent\.py'):
        command_line.read_config(str(tmp_path / 'absent.py'))


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('bad.py', 'def broken(:', 'SyntaxError'),
        ('bad.py', 'x = [1][2]', 'IndexError'),
        ('bad.py', "_base_ = 'absent.py'", r'absent\.py'),
        ('bad.py', 'x = 1\n  y = "', 'Error'),
        ('bad.pth', '', r'bad\.pth: not a valid config .*Only py/yml'),
    ],
)
def test_what_is_no_config_is_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises((ValueError, OSError), match=f'(?s){message}') as error:
        command_line.read_config(str(path))
    assert name in str(error.value) or 'absent.py' in str(error.value)


@pytest.mark.parametrize(
    'key', ['model.backbone.depth.x', 'default_hooks.logger.interval.y']
)
def test_options_that_do_not_fit_are_named(key):
    name = str(ROOT / 'configs/aios/aios_r50.py')
    with pytest.raises(ValueError, match=f'{key}=1 does not fit .*aios_r50'):
        command_line.read_config(name, {key: 1})


@pytest.mark.parametrize('option', ['nonsense', 'key=[dict(a=1,b=2)]'])
def test_options_that_cannot_be_read(capsys, option):
    parser = command_line.make_parser(None)
    command_line.add_cfg_options(parser)
    with pytest.raises(SystemExit) as status:
        parser.parse_args(['--cfg-options', option])
    assert status.value.code == 2
    assert f"KEY=VALUE, got ['{option}']" in capsys.readouterr().err


def test_errors_in_one_line(monkeypatch):
    def run_iter():
        raise KeyError('in a step')

    @command_line.errors_in_one_line()
    def set_up():
        raise KeyError('color')

    with pytest.raises(SystemExit, match="error: KeyError: 'color'"):
        set_up()
    with (
        # A terminal would execute it.
        pytest.raises(SystemExit, match=r'a: \\x1b\[31m\\udcff'),
        command_line.errors_in_one_line(),
    ):
        raise ValueError('a: \x1b[31m' + os.fsdecode(b'\xff'))
    with pytest.raises(KeyError), command_line.errors_in_one_line():
        run_iter()
    monkeypatch.setenv('AIOS_TRACEBACK', '1')
    with pytest.raises(ValueError), command_line.errors_in_one_line():
        raise ValueError('whole')


@pytest.mark.parametrize('text', ['nan', 'inf', '-1', 'x', ''])
def test_numbers_are_within_their_limits(text: str):
    with pytest.raises(ArgumentTypeError, match=f'{text!r} is not 0 or more'):
        command_line.number(float, 0)(text)
    assert command_line.number(float, 0)('0.5') == 0.5
