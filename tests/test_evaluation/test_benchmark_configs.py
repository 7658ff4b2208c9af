# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test configs from end to end, on images we drew.

The network is replaced by one that knows the answers; datasets, transforms,
loops and metrics are those of the configs.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from test_coco_wholebody_metric import _annotation
from test_mesh_metric import ERRORS
from toy_agora import load_tool
from toy_dataframe import dump_dataframe
from toy_persons import predictions

from aios.body_models import SMPLXLayer
from aios.datasets import HumanData, UBodyDataset
from aios.evaluation.agora import convert_ground_truth
from aios.evaluation.metrics.coco_wholebody_metric import to_coco_wholebody
from aios.evaluation.samples import ground_truth_of
from aios.structures import PARTS
from aios.synthetic import GeneratorOptions, SceneOptions, generate_dataset

CONFIGS = Path(__file__).parents[2] / 'configs/aios'
LABELS = 'preprocessed_npz/multihuman_data'
BENCHMARKS = {
    'ehf': ('EHF', 'ehf_test'),
    'ubody': ('UBody', 'ubody_test'),
    'egobody': ('EgoBody', 'egobody_test'),
    'arctic': ('ARCTIC', 'arctic_val'),
    'rich': ('RICH', 'rich_test'),
    'agora-mesh': ('AGORA-mesh', 'agora_validation'),
}
# Benchmarks do not move eyes.
PARAMETERS = (
    *('global_orient', 'body_pose', 'left_hand_pose', 'right_hand_pose'),
    *('jaw_pose', 'betas', 'expression'),
)


class Oracle(BaseModel):
    """Predicts what it was told.

    Args:
        answers: Persons of each image, by the name of its file.
        turn: Turn and move every mesh.
    """

    def __init__(self, answers: dict[str, InstanceData], turn: bool) -> None:
        super().__init__()
        self.answers = answers
        self.turn = turn

    def forward(
        self, inputs: Any, data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
        """As MMEngine wants it."""
        for sample in data_samples:
            persons = self.answers[Path(sample.img_path).name].clone()
            if self.turn:
                persons.vertices = persons.vertices.flip(-1) * -2 + 3
            sample.pred_instances = persons
        return data_samples


def _persons(data: HumanData, rows: np.ndarray, layer: SMPLXLayer):
    """Perfect predictions for some rows of a file."""
    params = {
        name: torch.as_tensor(np.asarray(data['smplx'][name])[rows]).float()
        for name in (*PARAMETERS, 'transl')
    }
    transl = params.pop('transl')
    body = layer(**params)
    meta = data['meta']
    focal, center = (
        np.asarray(meta[name], float)[rows].reshape(len(rows), -1)
        for name in ('focal_length', 'principal_point')
    )
    camera = torch.eye(3).repeat(len(rows), 1, 1)
    camera[:, [0, 1], [0, 1]] = torch.as_tensor(focal).float()
    camera[:, :2, 2] = torch.as_tensor(center).float()
    fields = {f'smplx_{k}': v.flatten(1) for k, v in params.items()}
    return predictions(body.joints, body.vertices, transl, camera, **fields)


@pytest.fixture(scope='module')
def world(free_body_dir, tmp_path_factory) -> SimpleNamespace:
    """Images, labels and answers."""
    root = tmp_path_factory.mktemp('world') / 'set'
    # As wide as images of AGORA.
    scene = SceneOptions(128, 72, persons=(1, 3), genders=('neutral',))
    options = GeneratorOptions(
        scene, seed=5, body=str(free_body_dir), supersample=1
    )
    generate_dataset(root, 3, options)
    data = HumanData.load(root / 'humandata.npz')
    names = []
    for place in data['image_path']:
        path = root / place
        if path.is_file():
            path.rename(path.with_name(f'bfh_{path.name}'))
        names.append(f'images/bfh_{path.name}')
    data['image_path'] = names
    # Labels of hands and faces that nobody sees are left out otherwise.
    for part in PARTS:
        boxes = np.array(data[f'{part}_bbox_xywh'])
        boxes[:, 4] = 1
        data[f'{part}_bbox_xywh'] = boxes
    layer = SMPLXLayer(free_body_dir)
    answers = {
        Path(data['image_path'][rows[0]]).name: _persons(data, rows, layer)
        for rows in (np.asarray(r) for r in data.images())
    }
    return SimpleNamespace(root=root, data=data, answers=answers)


def _labels_of(name: str, world: SimpleNamespace) -> HumanData:
    """The file as the benchmark has it."""
    content = dict(world.data)
    if name == 'ehf':
        meshes = [
            a.vertices + a.smplx_transl[:, None]
            for a in world.answers.values()
        ]
        content['vertices'] = torch.cat(meshes).numpy()
    if name == 'ubody':
        for suffix in ('', '_mask', '_convention'):
            source = f'keypoints2d_smplx{suffix}'
            if source in content:
                content[f'keypoints2d_ubody{suffix}'] = content[source]
    return HumanData(content)


@pytest.fixture
def run(world, tmp_path, monkeypatch, free_body_dir):
    """Evaluates with a config, which reads from the usual places."""
    data = tmp_path / 'data'
    monkeypatch.setenv('AIOS_DATA', str(data))
    models = tmp_path / 'models'
    shutil.copytree(free_body_dir, models, copy_function=os.symlink)
    np.save(models / 'smplx/body_verts_smplx.npy', np.arange(4010) * 2)
    monkeypatch.setenv('AIOS_BODY_MODELS', str(models))
    monkeypatch.chdir(tmp_path)  # submissions go to work_dirs

    def evaluate(name: str, turn: bool = False) -> dict[str, float]:
        config = Config.fromfile(CONFIGS / f'aios_r50_{name}.py')
        loader = config.test_dataloader
        if 'data_prefix' in loader.dataset:
            prefix = loader.dataset.data_prefix.img
            images = Path(loader.dataset.data_root, prefix, 'images')
        elif name == 'bedlam-test':
            images = Path(loader.dataset.source, 'scene_7/png/seq_03')
        else:
            images = Path(loader.dataset.source)
        if not images.exists():
            shutil.copytree(world.root / 'images', images)
        loader |= dict(num_workers=0, persistent_workers=False)
        runner = Runner(
            model=Oracle(world.answers, turn),
            work_dir=str(tmp_path / 'work'),
            test_dataloader=loader,
            test_evaluator=config.test_evaluator,
            test_cfg=config.test_cfg,
            default_scope='aios',
            experiment_name=f'{tmp_path.name}-{name}-{turn}',
        )
        metrics = runner.test()
        (log,) = Path(runner.log_dir).glob('*.json')
        written = json.loads(log.read_text())
        assert {k: written[k] for k in metrics} == metrics
        return metrics

    return evaluate


@pytest.mark.parametrize('name', BENCHMARKS)
def test_meshes(run, world, name, tmp_path):
    prefix, file = BENCHMARKS[name]
    path = tmp_path / 'data' / LABELS / f'{file}.npz'
    path.parent.mkdir(parents=True)
    _labels_of(name, world).dump(path)
    metrics = run(name)
    for error in ERRORS:
        assert metrics[f'{prefix}/{error}'] < 0.01
    persons = len(world.data)
    every = name in ('agora-mesh', 'rich')
    matched = persons if every else len(world.answers)
    assert metrics[f'{prefix}/persons'] == persons
    assert metrics[f'{prefix}/persons-MPVPE-all'] == matched
    registered = matched if name == 'ehf' else 0
    assert metrics[f'{prefix}/registered-meshes'] == registered
    if name == 'agora-mesh':
        assert metrics['AGORA-mesh/F1'] == 1
        assert metrics['AGORA-mesh-top1/measured'] == len(world.answers)
        moved = run(name, turn=True)
        for error in ERRORS:
            good = moved[f'{prefix}/{error}'] < 0.01
            assert good == error.startswith('PA-')


def _write_data_frame(world: SimpleNamespace, folder: Path) -> None:
    """AGORA's ground truth of all persons."""
    rows: dict[str, list] = {}
    for name, persons in world.answers.items():
        count, place = len(persons), persons.smplx_transl[:, None]
        for column, cell in {
            'imgPath': name,
            'kid': [False] * count,
            'occlusion': [5.0] * count,
            'isValid': [True] * count,
            'gt_joints_2d': [*(persons.joints2d[:, :127] * 30).numpy()],
            'gt_joints_3d': [*(persons.joints3d + place)[:, :127].numpy()],
            'gt_verts': [*(persons.vertices + place).numpy()],
        }.items():
            rows.setdefault(column, []).append(cell)
    dump_dataframe(folder / 'validation_0_SMPLX_withjv.pkl', rows)


def test_agora(run, world, tmp_path):
    data = tmp_path / 'data'
    labels = data / LABELS / 'agora_validation.npz'
    labels.parent.mkdir(parents=True)
    world.data.dump(labels)
    _write_data_frame(world, tmp_path)
    truth = data / 'datasets/agora/validation.npz'
    convert_ground_truth(tmp_path, truth)
    metrics = run('agora-val')
    persons = len(world.data)
    assert metrics['agora/f1'] == 1
    assert metrics['agora/matched'] == metrics['agora/persons'] == persons
    for name in ('body-MVE', 'fullbody-MPJPE', 'fullbody-NMVE'):
        assert metrics[f'agora/{name}'] == 0
    submission = tmp_path / 'work_dirs/aios_r50_agora-val/submission'
    assert metrics['agora_submission/persons'] == persons
    # The same from the files, whose bodies are posed anew.
    found = load_tool('eval_agora').main([str(submission), '--gt', str(truth)])
    assert found == {
        name.removeprefix('agora/'): value
        for name, value in metrics.items()
        if name.startswith('agora/')
    }


@pytest.mark.parametrize('name', ['agora', 'bedlam'])
def test_submissions(run, world, tmp_path, name):
    counts = run(f'{name}-test')
    assert counts[f'{name}_submission/persons'] == len(world.data)
    folder = tmp_path / f'work_dirs/aios_r50_{name}-test/submission'
    check = load_tool('misc/check_submission').main
    assert check([str(folder / 'predictions.zip'), '--benchmark', name]) == 0
    files = {path.name for path in (folder / 'predictions').iterdir()}
    first = 'scene_7_frameID_' if name == 'bedlam' else ''
    for image, persons in world.answers.items():
        stem = Path(image).stem
        for number in range(len(persons)):
            assert f'{first}{stem}_personId_{number}.pkl' in files
    # Never mixed with older ones.
    with pytest.raises(FileExistsError, match='overwrite=True'):
        run(f'{name}-test')


def test_coco_wholebody(run, world, tmp_path):
    images, persons = [], []
    for i, (name, answer) in enumerate(world.answers.items()):
        images.append(
            dict(id=i * 10, file_name=f'images/{name}', height=72, width=128)
        )
        for points in to_coco_wholebody(answer.joints2d.double().numpy()):
            keys = dict(id=len(persons) + 1, image_id=i * 10)
            persons.append(_annotation(points, **keys))
    category = [{'id': 1, 'name': 'person'}]
    folder = tmp_path / 'data/datasets/coco_2017/annotations'
    folder.mkdir(parents=True)
    content = dict(images=images, annotations=persons, categories=category)
    path = folder / 'coco_wholebody_val_v1.0.json'
    path.write_text(json.dumps(content))
    metrics = run('coco-wholebody')
    for part in ('body', 'foot', 'face', 'hand', 'wholebody'):
        assert metrics[f'COCO-WholeBody/AP-{part}'] == pytest.approx(1)
    assert metrics['COCO-WholeBody/images'] == 3


def test_cameras_of_persons_arrive_in_original_pixels(world, tmp_path):
    """UBody's are made for crops: one for each person."""
    data = _labels_of('ubody', world)
    rng = np.random.default_rng(0)
    meta = dict(data['meta'])
    for name in ('focal_length', 'principal_point'):
        meta[name] = rng.uniform(50, 200, (len(data), 2))
    data['meta'] = meta
    data.dump(tmp_path / 'ubody.npz')
    dataset = UBodyDataset(
        'ubody.npz',
        str(tmp_path),
        data_prefix=dict(img=str(world.root)),
        test_mode=True,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadHumanAnnotations'),
            dict(type='WholeBodyResize', scale=(200, 150)),
            dict(type='PackWholeBodyInputs'),
        ],
    )
    cameras = [
        ground_truth_of(item['data_samples'].to_dict())['cameras']
        for item in dataset
    ]
    expected = np.hstack((meta['focal_length'], meta['principal_point']))
    np.testing.assert_allclose(np.concatenate(cameras), expected, rtol=1e-5)
    assert max(map(len, cameras)) > 1
