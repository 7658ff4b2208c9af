# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The table of formats, from which both command lines take them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from aios.apis import Outputs
from aios.apis.cli import add_options, make_outputs
from aios.apis.record import products
from aios.export import EXPORTERS, Exporter
from aios.results import SequenceResult
from aios.utils.command_line import make_parser

ROOT = Path(__file__).parents[2]


class ToyExporter(Exporter):
    """Number of rows of each person."""

    name, suffix, per, needs_body = 'toy', '.toy', 'person', False
    about = 'numbers of rows'
    product = 'toys/person{person}.toy'
    flag, flag_help = '--save-toy', 'toys/personK.toy'
    options = {'--unit': dict(default='rows', help='what is counted')}

    def write(self, persons, layer, path, *, unit='rows', **_):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'{len(persons)} {unit}')
        return f'counted {len(persons)}'


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORTERS, 'toy', ToyExporter())


@pytest.mark.usefixtures('toy')
def test_a_new_format_is_in_params2mesh(
    persons: SequenceResult, tmp_path: Path, capsys
) -> None:
    main = runpy.run_path(str(ROOT / 'tools/params2mesh.py'))['main']
    persons.save(tmp_path / 'params.npz')
    with pytest.raises(SystemExit):
        main(['--help'])
    text = capsys.readouterr().out
    assert 'toy   numbers of rows' in text
    assert 'toy: what is counted' in text
    call = [str(tmp_path / 'params.npz'), '--format', 'toy', '--unit', 'lines']
    main(call)
    assert 'counted 2\ncounted 3\nwrote' in capsys.readouterr().out
    made = {p.name: p.read_text() for p in tmp_path.glob('params_toy/*')}
    assert made == {'person4.toy': '2 lines', 'person7.toy': '3 lines'}
    (tmp_path / 'params_toy/person4.toy').unlink()
    with pytest.raises(SystemExit, match=r'person7\.toy exists'):
        main(call)
    assert not (tmp_path / 'params_toy/person4.toy').exists()


@pytest.mark.usefixtures('toy')
def test_a_new_format_is_in_the_demos() -> None:
    parser = make_parser('')
    add_options(parser)
    assert 'toys/personK.toy' in parser.format_help()
    outputs = make_outputs(parser.parse_args(['--save-toy']))
    assert [x.name for x in outputs.exporters()] == ['toy']
    assert 'toys' in products()


def test_formats_of_the_demos() -> None:
    parser = make_parser('')
    add_options(parser)
    args = parser.parse_args(['--save-mesh', 'ply', '--save-json'])
    assert list(make_outputs(args).formats) == ['ply', 'json']
    assert not make_outputs(parser.parse_args([])).formats


@pytest.mark.parametrize('name', ['fbx', 'mot'])
def test_a_format_that_runs_do_not_write(name: str) -> None:
    with pytest.raises(ValueError, match=f"formats must be .*'{name}'"):
        Outputs(formats=[name]).exporters()
