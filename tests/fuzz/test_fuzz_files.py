# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files of all kinds are refused with their name, or read."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import hostile_pickles as hostile
import numpy as np
import pytest
import torch
from fuzz.annotation_readers import annotation_readers
from fuzz.harness import CANARY, Reader, make_cases, run_cases, write_file
from fuzz.result_readers import result_readers
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer

from aios.apis.model_files import read_model_config
from aios.models.checkpoints import read_checkpoint
from aios.runtime import read_description
from aios.utils.images import decode_image
from aios.utils.safe_io import load_npz, load_pickle

ARRAYS = dict(
    points=np.arange(12.0).reshape(2, 3, 2),
    names=np.array(['a', 'bc']),
    meta=dict(gender=['male', 'female'], sizes=[(3, 4), (5, 6)]),
)
MODEL = dict(
    model=dict(
        type='AiOS',
        bbox_head=dict(type='AiOSHead', body_model=dict(type='SMPLXLayer')),
    ),
    test_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImage')])),
)


def _write_image(content: Any, path: Path) -> None:
    cv2.imwrite(str(path), content)


def _write_model(content: Any, path: Path) -> None:
    text = Config(content).pretty_text
    torch.save(dict(state_dict={}, meta=dict(cfg=text)), path)


def _history() -> HistoryBuffer:
    history = HistoryBuffer()
    history.update(1.5)
    return history


def _read_image(path: Path) -> np.ndarray:
    return decode_image(path.read_bytes(), str(path))


def _read_description(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding='utf-8', errors='replace')
    meta = SimpleNamespace(custom_metadata_map=dict(aios=text))
    session: Any = SimpleNamespace(get_modelmeta=lambda: meta)
    return read_description(session, path)


def _hostile(make: Any) -> Any:
    def write(path: Path) -> None:
        code = f'open({str(path.with_name(CANARY))!r}, "w").close()'
        hostile.write_checkpoint(path, make(code))

    return write


def _call(path: Path) -> Mapping[str, Any]:
    command = f'touch {path.with_name(CANARY)}'
    return dict(type='subprocess.getoutput', cmd=command)


READERS = (
    Reader(
        'checkpoint',
        'file.pth',
        dict(
            state_dict={'w': torch.ones(2, 3), 'b': torch.zeros(3)},
            meta=dict(epoch=1, cfg='a = 1', seed=np.int64(3)),
            message_hub=dict(log_scalars={'loss': _history()}),
            metainfo=ConfigDict(body_model=dict(type='SMPLX')),
        ),
        torch.save,
        read_checkpoint,
        hostile=[
            _hostile(hostile.runs_while_it_is_read),
            _hostile(hostile.runs_when_it_is_copied),
            lambda path: hostile.write_checkpoint(
                path, hostile.mapping(hostile.doubled_tuples(), pickle.NONE)
            ),
        ],
    ),
    Reader(
        'config in a checkpoint',
        'model.pth',
        MODEL,
        _write_model,
        lambda path: read_model_config(None, path),
        hostile=[lambda path: _write_model(dict(model=_call(path)), path)],
    ),
    Reader(
        'ONNX description',
        'model.onnx',
        dict(
            size=[64, 48],
            resize=dict(scale=[64, 48]),
            body_model=dict(model_path='free'),
            test_cfg=dict(),
            aios_version='0.1',
        ),
        write_file,
        _read_description,
        hostile=[
            lambda path: write_file(
                dict(
                    size=[64, 48],
                    config=dict(
                        model=dict(bbox_head=dict(type='A'), neck=_call(path))
                    ),
                ),
                path,
            )
        ],
    ),
    Reader('pickle', 'data.pkl', ARRAYS, write_file, load_pickle),
    Reader(
        'npz',
        'data.npz',
        ARRAYS,
        write_file,
        lambda path: load_npz(path, allow_objects=True),
    ),
    *(
        Reader(
            f'image, {suffix}',
            f'image.{suffix}',
            np.random.default_rng(0).integers(0, 255, (40, 60, 3), 'u1'),
            _write_image,
            _read_image,
        )
        for suffix in ('png', 'jpg', 'webp', 'bmp', 'gif', 'tiff')
    ),
)


OTHERS = (
    *('HumanData .npz', 'HumanData .pkl', 'AiOS cache', 'COCO images'),
    *('COCO-WholeBody, evaluation', 'COCO-WholeBody', 'NeuralAnnot'),
    *('submission, .zip', 'submission, .pkl', 'scores.json'),
    *('dumped predictions', 'AGORA data frame', 'AGORA ground truth'),
    *('params.npz', 'camera .npz', 'tracks .json', 'tracks .txt'),
    *('sam3dbody', 'multihmr', 'phalp', 'amass'),
)


@pytest.fixture(scope='module')
def readers(tmp_path_factory, free_body_dir) -> dict[str, Reader]:
    root, models = tmp_path_factory.mktemp('coco'), str(free_body_dir)
    others = annotation_readers(root, models) + result_readers(models)
    return {reader.name: reader for reader in (*READERS, *others)}


@pytest.mark.parametrize('name', (*(r.name for r in READERS), *OTHERS))
@pytest.mark.parametrize(
    'count', [30, pytest.param(400, marks=pytest.mark.slow)]
)
def test_files_are_read_or_refused_by_name(
    readers: dict[str, Reader], name: str, count: int, tmp_path: Path
) -> None:
    assert list(readers) == [*(r.name for r in READERS), *OTHERS]
    reader = readers[name]
    cases = make_cases(reader, tmp_path / 'cases', count)
    valid = tmp_path / 'cases/honest' / reader.file_name
    first, *results = run_cases(reader, [valid, *cases])
    assert first.end == 'read', first.message
    assert len(results) == count
    assert 'refused' in {result.end for result in results}
    assert not [r for r in results if r.end not in ('read', 'refused')]
