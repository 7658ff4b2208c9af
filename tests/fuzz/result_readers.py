# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Readers of predictions and AGORA's ground truth, with valid files."""

from __future__ import annotations

import pickle
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from foreign_results import mhr_person
from fuzz.harness import Reader, write_file

from aios.apis.cameras import load_intrinsics
from aios.body_models import BodyPoser, NumpySMPLXLayer
from aios.evaluation.agora import AGORAGroundTruth
from aios.evaluation.agora.bodies import SubmittedBodies
from aios.evaluation.agora.layout import PARAMETERS
from aios.evaluation.agora.reader import (
    Submission,
    iter_faults,
    read_dump,
    read_submission,
)
from aios.evaluation.tracking import read_tracks
from aios.importers import IMPORTERS, ReadingOptions
from aios.results import SequenceResult
from aios.results.schema import FORMAT_VERSION, PERSON_FIELDS
from aios.utils.joblib_pickle import load_joblib

sys.path.append(str(Path(__file__).parents[1] / 'test_datasets'))

from toy_dataframe import dump_dataframe  # noqa: E402

_IMAGES = ('ag_validation_bfh_a_00001', 'ag_validation_bfh_b_00002')
_COUNT = 2
_PHALP = Path(__file__).parents[1] / 'data/importers/phalp_walk.pkl'


def result_readers(models: str) -> list[Reader]:
    """Readers of predictions and of ground truth.

    Args:
        models: Folder of a body model.
    """
    bodies = SubmittedBodies(models)
    return [
        Reader(
            'submission, .zip',
            'predictions.zip',
            submission(),
            _write_submission,
            _read_submission(bodies),
            hostile=[_write_bomb],
        ),
        Reader(
            'submission, .pkl',
            f'{_IMAGES[0]}_personId_0.pkl',
            person(),
            write_file,
            lambda path: _read_submission(bodies)(path.parent),
        ),
        Reader(
            'scores.json',
            'scores.json',
            {f'{_IMAGES[0]}_personId_{k}.pkl': 0.5 for k in range(_COUNT)},
            write_file,
            _read_scores,
        ),
        Reader(
            'dumped predictions',
            'dump.pkl',
            dump(),
            write_file,
            lambda path: [
                image.bodies(np.arange(len(image.scores)))
                for image in read_dump(path, bodies).values()
            ],
        ),
        Reader(
            'AGORA data frame',
            'validation_0_SMPLX_withjv.pkl',
            frame(),
            _write_frame,
            lambda path: _read_truth(path.parent),
        ),
        Reader(
            'AGORA ground truth', 'truth.npz', truth(), write_file, _read_truth
        ),
        Reader(
            'params.npz', 'params.npz', persons(), write_file, _read_persons
        ),
        Reader(
            'camera .npz',
            'camera.npz',
            {'K': np.diag([500.0, 500, 1]), 'width': 64, 'height': 48},
            write_file,
            load_intrinsics,
        ),
        Reader(
            'tracks .json', 'tracks.json', tracks(), write_file, read_tracks
        ),
        Reader(
            'tracks .txt',
            'tracks.txt',
            [[1, 1, 4, 5, 20, 30, 1], [2, 1, 5, 5, 20, 30, 1]],
            _write_lines,
            read_tracks,
        ),
        *_importers(models),
    ]


def _importers(models: str) -> list[Reader]:
    """Readers of other programs' results, by their names."""
    poser = BodyPoser(NumpySMPLXLayer(models))
    options = ReadingOptions(fps=25)
    samples = {
        'sam3dbody': ('video.json', [_mhr(1), _mhr(2)]),
        'multihmr': ('image.pkl', [_multi_hmr() for _ in range(2)]),
        'phalp': ('video.pkl', load_joblib(_PHALP)),
        'amass': ('walk.npz', _amass()),
    }
    return [
        Reader(
            name,
            file,
            sample,
            write_file,
            partial(IMPORTERS[name].read, poser=poser, options=options),
        )
        for name, (file, sample) in samples.items()
    ]


def _mhr(count: int) -> list[dict[str, Any]]:
    return [
        {
            n: np.asarray(v).tolist()
            for n, v in mhr_person((x, 0, 4), 0).items()
        }
        for x in range(count)
    ]


def _multi_hmr() -> dict[str, Any]:
    points = np.random.default_rng(0).normal(size=(20, 3)) + (0, 0, 9)
    return {
        'rotvec': np.full((53, 3), 0.1),
        'shape': np.zeros(10),
        'expression': np.zeros(10),
        'scores': 0.5,
        'transl_pelvis': np.array([[0.0, 0, 9]]),
        'j3d': points,
        'j2d': 700 * points[:, :2] / points[:, 2:] + (320, 240),
    }


def _amass() -> dict[str, Any]:
    return {
        'poses': np.full((3, 165), 0.1),
        'trans': np.zeros((3, 3)),
        'betas': np.zeros(16),
        'gender': np.array('neutral'),
        'surface_model_type': np.array('smplx'),
        'mocap_frame_rate': np.array(30.0),
        'expression': np.zeros((3, 10)),
        'first_frame': np.array(0),
        'has_floor': np.array(True),
    }


def person() -> dict[str, Any]:
    """Content of a submitted file."""
    rng = np.random.default_rng(0)
    sizes = {name: 3 * triples or 10 for name, triples in PARAMETERS.items()}
    return {
        'joints': rng.uniform(1, 2000, (24, 2)).astype(np.float32),
        'gender': 'neutral',
        'kid_flag': False,
        'num_betas': 10,
        'params': {
            name: rng.normal(0, 0.1, (1, size)).astype(np.float32)
            for name, size in sizes.items()
        },
    }


def submission() -> dict[str, Any]:
    """Contents by member of an archive; numbers of persons are kept."""
    names = [f'{_IMAGES[0]}_personId_{k}.pkl' for k in range(_COUNT)]
    return {f'predictions/{name}': person() for name in names}


def dump() -> list[dict[str, Any]]:
    """Content of a file of ``DumpWholeBodyResults``."""
    rng = np.random.default_rng(0)

    def image(name: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            f'smplx_{name}': rng.normal(0, 0.1, (_COUNT, value.shape[1]))
            for name, value in person()['params'].items()
        }
        fields |= {
            'scores': np.array([0.9, 0.5], np.float32),
            'bboxes': rng.uniform(1, 500, (_COUNT, 4)),
            'joints2d': rng.uniform(1, 500, (_COUNT, 144, 2)),
            'joints3d': rng.normal(0, 1, (_COUNT, 144, 3)),
            'cam_K': np.diag([500.0, 500, 1]),
        }
        return {
            'img_path': f'images/{name}.png',
            'ori_shape': (720, 1280),
            'pred_instances': fields,
        }

    return [image(name) for name in _IMAGES]


def frame() -> dict[str, list]:
    """Columns of a data frame: two images with two persons each."""
    rng = np.random.default_rng(0)
    joints = rng.uniform(-1, 1, (2, _COUNT, 127, 3)) + (0, 0, 6)
    points = joints[..., :2] / joints[..., 2:] * 3700 + (1920, 1080)
    verts = rng.uniform(-1, 1, (2, _COUNT, 10475, 3)).astype(np.float32)
    return {
        'imgPath': [f'{name}.png' for name in _IMAGES],
        'kid': [[False, True], [False, False]],
        'occlusion': [[5.0, 30.0], [0.0, 60.0]],
        'Yaw': [[30.0, 190.0], [-75.0, 0.0]],
        'camYaw': [50.0, 20.0],
        'isValid': [[True, False], [True, True]],
        'gt_joints_2d': [list(rows) for rows in points],
        'gt_joints_3d': [list(rows) for rows in joints],
        'gt_verts': [list(rows) for rows in verts],
    }


def truth() -> dict[str, np.ndarray]:
    """Arrays of ``convert_ground_truth``."""
    rng = np.random.default_rng(0)
    total = 2 * _COUNT
    meshes = {
        f'vertices_{k:06d}': np.zeros((_COUNT, 10475, 3), np.float32)
        for k in range(2)
    }
    return meshes | {
        'joints2d': rng.uniform(1, 2000, (total, 127, 2)),
        'joints3d': rng.uniform(1, 2, (total, 127, 3)),
        'kid': np.zeros(total, bool),
        'occlusion': np.full(total, 5.0),
        'is_valid': np.ones(total, bool),
        'orientation': np.full(total, 90.0),
        'paths': np.array([f'{name}.png' for name in _IMAGES]),
        'rows': np.array([[0, 2], [2, 4]]),
    }


def persons() -> dict[str, Any]:
    """Arrays of a file of results: three persons in two frames."""
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        name: rng.uniform(0, 1, (3, *(4 if n < 0 else n for n in field.shape)))
        for name, field in PERSON_FIELDS.items()
        if field.shape != ()
    }
    return fields | {
        'person_id': np.array([0, 1, 0]),
        'scores': np.array([0.9, 0.8, 0.7]),
        'frame_index': np.array([0, 0, 1]),
        'frame_names': np.array(['000000', '000001']),
        'source_frames': np.array([0, 1]),
        'timestamps': np.array([0.0, 0.04]),
        'K': np.tile(np.diag([500.0, 500, 1]), (2, 1, 1)),
        'image_sizes': np.array([[64, 48], [64, 48]]),
        'fps': 25.0,
        'source': 'clip.mp4',
        'gender': 'neutral',
        'body_model': 'free',
        'model': 'aios_s',
        'aios_version': '0.1',
        'flat_hand_mean': False,
        'units': 'm',
        'axes': 'opencv',
        'format_version': FORMAT_VERSION,
    }


def tracks() -> dict[str, Any]:
    """Content of a file of PoseTrack."""
    return {
        'images': [
            {'id': k, 'file_name': f'{k:06d}.jpg', 'is_labeled': True}
            for k in range(3)
        ],
        'annotations': [
            {'image_id': k, 'track_id': 0, 'bbox': [4, 5, 20.5, 30]}
            for k in range(3)
        ],
    }


def _write_lines(content: Any, path: Path) -> None:
    path.write_text('\n'.join(','.join(map(str, row)) for row in content))


def _write_frame(content: Any, path: Path) -> None:
    dump_dataframe(path, content)


def _write_submission(content: Any, path: Path) -> None:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, person in content.items():
            archive.writestr(name, pickle.dumps(person, 4))


def _write_bomb(path: Path) -> None:
    """A person of 256 MB in 256 kB."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        name = f'predictions/{_IMAGES[0]}_personId_0.pkl'
        archive.writestr(name, bytes(1 << 28))


def _read_submission(bodies: SubmittedBodies) -> Callable[[Path], object]:
    """Check a submission, and read it with its meshes."""

    def read(path: Path) -> object:
        faults = list(iter_faults(Submission(path), 'agora'))
        found = read_submission(path, bodies)
        for image in found.persons.values():
            image.bodies(np.arange(len(image.scores)))
        return faults

    return read


def _read_scores(path: Path) -> object:
    folder = path.parent / 'predictions'
    folder.mkdir()
    for number in range(_COUNT):
        name = f'{_IMAGES[0]}_personId_{number}.pkl'
        write_file(person(), folder / name)
    return Submission(path.parent).scores()


def _read_truth(path: Path) -> object:
    return [image.vertices() for image in AGORAGroundTruth(path)]


def _read_persons(path: Path) -> object:
    return list(SequenceResult.load(path).frames())
