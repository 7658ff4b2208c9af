# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``python -m aios doctor``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import pytest
from script_loader import run_python

from aios import doctor
from aios.__main__ import main
from aios.doctor import Finding, diagnose, format_findings

GOOD = Finding('torch', 'ok', '2.13.0')
NOTE = Finding('SMPL-X male', 'note', 'not found', 'Get it there.')
ERROR = Finding('mmcv', 'error', 'cannot be imported', 'Install it.')


@pytest.fixture
def no_body_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv('AIOS_BODY_MODELS', str(tmp_path))
    return tmp_path


def topics(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def test_command_line():
    """Also where the terminal takes no more than ASCII."""
    ascii = dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')
    printed = run_python('-m', 'aios', 'doctor', '--json', **ascii)
    found = {item['topic']: item for item in json.loads(printed)}
    assert set(found['torch']) == {'topic', 'status', 'value', 'advice'}
    assert found.keys() >= {
        *('aios', 'python', 'torch', 'cuda', 'mmengine', 'mmcv', 'mmdet'),
        *('package family', 'deformable attention', 'mmdet.models'),
        *('opencv', 'SMPL-X neutral', 'free body'),
    }


@pytest.mark.parametrize('present', [True, False])
def test_installation_without_torch(
    monkeypatch: pytest.MonkeyPatch, present: bool
):
    """ONNX Runtime is enough; with it, what PyTorch needs is optional."""
    monkeypatch.setattr(
        doctor,
        'find_spec',
        lambda name: sys if name == 'onnxruntime' and present else None,
    )
    for name in ('torch', 'mmdet'):
        monkeypatch.setitem(sys.modules, name, None)
    findings = diagnose()
    found = topics(findings)
    assert doctor.exit_code(findings) == (not present)
    assert found['torch'].status == ('note' if present else 'error')
    assert found['onnxruntime'].status == ('ok' if present else 'note')


def test_missing_body_models_are_a_note_with_both_ways_out(no_body_models):
    found = topics(list(doctor.check_body_models()))
    for gender in ('neutral', 'male', 'female'):
        finding = found[f'SMPL-X {gender}']
        assert finding.status == 'note'
        assert str(no_body_models) in finding.advice
        assert 'https://smpl-x.is.tue.mpg.de' in finding.advice
        assert "'free'" in finding.advice


def test_damaged_body_models_are_named(no_body_models):
    path = no_body_models / 'SMPLX_NEUTRAL.npz'
    path.write_bytes(b'PK')
    found = topics(list(doctor.check_body_models()))
    assert found['SMPL-X neutral'].status == 'warning'
    assert str(path) in found['SMPL-X neutral'].value
    assert found['SMPL-X male'].status == 'note'


def test_the_free_body_is_not_taken_for_smplx(no_body_models):
    from aios.body_models import expand_free_body

    expand_free_body(no_body_models, genders=('male',))
    found = topics(list(doctor.check_body_models()))
    assert 'the free body, not SMPL-X' in found['SMPL-X male'].value
    assert found['SMPL-X female'].status == 'note'


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    finding = next(iter(doctor.check_rendering()))
    assert finding.status == 'error'
    assert 'opencv-python-headless' in finding.advice


def test_an_opencv_that_draws_no_meshes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(cv2, 'triangleRasterize')
    finding = list(doctor.check_rendering())[-1]
    assert finding.status == 'error'
    assert 'cannot draw meshes' in finding.value


def test_a_check_that_fails_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
):
    def broken():
        raise RuntimeError('no such luck')

    monkeypatch.setattr(doctor, 'CHECKS', (broken, lambda: [GOOD]))
    first, second = diagnose()
    assert (first.topic, first.status) == ('broken', 'error')
    assert 'RuntimeError: no such luck' in first.value
    assert second is GOOD


def test_exit_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: [GOOD, ERROR],))
    assert main(['doctor']) == 1
    assert 'Install it.' in capsys.readouterr().out


def test_text_gives_each_advice_once():
    text = format_findings([GOOD, NOTE, NOTE, ERROR])
    assert text.count('Get it there.') == 1
    assert 'error  mmcv' in text


def test_command_is_needed(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as error:
        main([])
    assert error.value.code == 2
    assert 'doctor  ' in capsys.readouterr().err  # what there is


@pytest.mark.parametrize('side', ['16', '1e3', '20000'])
def test_image_sizes_of_exports(side: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as error:
        main(['export', '--shape', '480', side])
    assert error.value.code == 2
    assert 'is not 32 to 16384' in capsys.readouterr().err


def test_options_of_infer(capsys: pytest.CaptureFixture, tmp_path: Path):
    """They may come before the image."""
    with pytest.raises(SystemExit) as error:
        main(['infer', '--help'])
    assert error.value.code == 0
    assert 'usage: python -m aios infer ' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(['infer', '--score-thr', '0.5', str(tmp_path / 'a.jpg')])
    assert 'a.jpg: no such file' in capsys.readouterr().err


@pytest.mark.parametrize('other', ['4.12', '5'])
def test_two_packages_of_opencv(monkeypatch, other: str):
    """They overwrite each other's files."""
    there = {'opencv-python': '5', 'opencv-contrib-python-headless': other}
    monkeypatch.setattr(doctor, 'installed_version', there.get)
    findings = [f for f in doctor.check_rendering() if f.status == 'warning']
    assert len(findings) == (other != '5')
    for finding in findings:
        assert finding.topic == 'opencv'
        assert 'opencv-contrib-python-headless 4.12' in finding.value
        advice = 'pip uninstall -y opencv-python opencv-contrib-python-headles'
        assert advice in finding.advice
