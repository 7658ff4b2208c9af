# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Every public config builds, and says what the paper says."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.optim import build_optim_wrapper
from torch import nn

from aios.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    VISUALIZERS,
    register_all_modules,
)

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs/aios').glob('*.py'))
NEW_STYLE = sorted((ROOT / 'aios/configs').glob('aios_*.py'))
RECIPES = [path for path in CONFIGS if 'e_' in path.stem]
PHASES = ('train', 'val', 'test')


def _name(path: Path) -> str:
    return path.stem


@pytest.fixture(autouse=True)
def registered() -> None:
    register_all_modules()


def _load(path: Path) -> Config:
    try:
        return Config.fromfile(path)
    except ImportError as error:
        pytest.skip(f'{path.name} needs another package: {error}')


@cache
def _model(config: str) -> nn.Module:
    """The model of a config, each only once, without memory if it can be."""
    # Swin reads numbers of it while it is built.
    linspace = partial(torch.linspace, device='cpu')
    try:
        with torch.device('meta'), mock.patch('torch.linspace', linspace):
            return MODELS.build(json.loads(config))
    except NotImplementedError:  # aios_s loads its weights
        return MODELS.build(json.loads(config))


def _datasets(config: Any) -> Any:
    """The dataset of a loader, without looking for its files."""
    members = [dict(d, lazy_init=True) for d in config.get('datasets', ())]
    arguments = {'datasets': members} if members else {}
    return DATASETS.build(dict(config, lazy_init=True, **arguments))


class Sized(list):
    """A dataset of which only the size is known."""


@pytest.mark.parametrize('path', [*CONFIGS, *NEW_STYLE], ids=_name)
def test_builds(path: Path, monkeypatch: pytest.MonkeyPatch):
    config = _load(path)
    config = Config(config.to_dict())
    model = _model(json.dumps(config.model.to_dict()))
    assert sum(p.numel() for p in model.parameters()) > 1e6

    for phase in PHASES:
        loader = config.get(f'{phase}_dataloader')
        if not loader:
            continue
        dataset = _datasets(loader.dataset)
        members = getattr(dataset, 'datasets', [dataset])
        assert all(member.pipeline.transforms for member in members)
        sized = Sized()
        sized.datasets = [Sized([0] * 5) for _ in members]
        DATA_SAMPLERS.build(dict(loader.sampler, dataset=sized, seed=0))
    for phase in PHASES[1:]:
        if config.get(f'{phase}_evaluator'):
            assert Evaluator(config[f'{phase}_evaluator']).metrics

    hooks = [*config.default_hooks.values(), *config.get('custom_hooks', ())]
    assert all(isinstance(HOOKS.build(hook), Hook) for hook in hooks)
    visualizer = dict(config.visualizer, vis_backends=None, name=path.stem)
    VISUALIZERS.build(visualizer)
    if 'optim_wrapper' in config:
        _check_optimizer(config, model, monkeypatch)


def _check_optimizer(
    config: Config, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Wrappers for mixed precision refuse to be built without a GPU.
    monkeypatch.setattr(
        'mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available',
        lambda: True,
    )
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    trained = sum(
        len(group['params']) for group in wrapper.optimizer.param_groups
    )
    assert trained == sum(p.requires_grad for p in model.parameters())
    for scheduler in config.param_scheduler:
        scheduler = PARAM_SCHEDULERS.build(
            scheduler, default_args=dict(optimizer=wrapper)
        )
        assert scheduler.by_epoch in (True, False)
    assert not config.get('auto_scale_lr', {}).get('enable')


@pytest.mark.parametrize('path', RECIPES, ids=_name)
def test_name_says_what_is_in_it(path: Path):
    """``aios_MODULE_GPUSxbBATCH[-...]-EPOCHSe_DATA``."""
    config = _load(path)
    _, _, training, *_ = path.stem.split('_')
    gpus, _, rest = training.partition('xb')
    batch, *_, epochs = rest.split('-')
    assert config.train_dataloader.batch_size == int(batch)
    assert config.auto_scale_lr.base_batch_size == int(gpus) * int(batch)
    assert f'{config.train_cfg.max_epochs}e' == epochs
    ends = [s['end'] for s in config.param_scheduler if s.get('by_epoch')]
    assert ends == [config.train_cfg.max_epochs]
    assert config.randomness.seed == 42


MIXES = {
    'aios_r50_16xb2-60e_pretrain-mix': dict(agora=40, bedlam=30, coco=30),
    'aios_r50_16xb2-50e_finetune-mix': dict(
        agora=20, bedlam=20, coco=20, ubody=20, egobody=10, arctic=10
    ),
}


@pytest.mark.parametrize('name', MIXES)
def test_mix_is_that_of_the_paper(name: str):
    loader = _load(ROOT / f'configs/aios/{name}.py').train_dataloader
    sources = [source.dataset_name for source in loader.dataset.datasets]
    weights = np.array(loader.sampler.weights) * 100
    mix = dict(zip(sources, weights.round(6), strict=True))
    assert mix == MIXES[name]


def test_optimizer_is_that_of_the_published_code():
    """Two groups, each with the tensors and numbers of the original's."""
    path = ROOT / 'configs/aios/aios_r50_16xb2-50e_finetune-mix.py'
    config = _load(path)
    model = _model(json.dumps(config.model.to_dict()))
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    sizes: dict[float, list[int]] = {}
    for group in wrapper.optimizer.param_groups:
        assert group['weight_decay'] == 1e-4
        trained = [p.numel() for p in group['params'] if p.requires_grad]
        sizes.setdefault(round(group['lr'], 12), []).extend(trained)
    tensors = {rate: (len(s), sum(s)) for rate, s in sizes.items()}
    assert tensors == {1.414e-5: (662, 50095266), 1.414e-6: (52, 23445504)}
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1, norm_type=2)


def test_a_validation_set_is_used_where_there_is_one():
    config = _load(ROOT / 'configs/aios/aios_r50_8xb2-20e_egobody.py')
    for phase in ('val', 'test'):
        loader = config[f'{phase}_dataloader']
        assert loader.dataset.ann_file[0].endswith(f'egobody_{phase}.npz')


def test_paths_come_from_one_variable(monkeypatch: pytest.MonkeyPatch):
    path = ROOT / 'configs/aios/aios_r50_16xb2-50e_finetune-mix.py'
    monkeypatch.setenv('AIOS_DATA', '/somewhere/else')
    members = _load(path).train_dataloader.dataset.datasets
    assert {member.data_root for member in members} == {'/somewhere/else'}
    monkeypatch.delenv('AIOS_DATA')
    members = _load(path).train_dataloader.dataset.datasets
    assert {member.data_root for member in members} == {'data'}


def _by_name(value: Any) -> Any:
    """Classes by their own name, whether written with a path or a scope."""
    if isinstance(value, dict):
        plain = {key: _by_name(v) for key, v in value.items()}
        if isinstance(plain.get('type'), str):
            plain['type'] = plain['type'].rpartition('.')[2]
        return plain
    if isinstance(value, (list, tuple)):
        return [_by_name(v) for v in value]
    return value


@pytest.mark.parametrize('path', NEW_STYLE, ids=_name)
def test_new_style_twin_is_equal(path: Path):
    new = _by_name(Config.fromfile(path).to_dict())
    name = path.stem.replace('xb8_', 'xb8-')
    old = _by_name(Config.fromfile(ROOT / f'configs/aios/{name}.py').to_dict())
    # Names that only help to write a config are no part of it.
    for key in (
        *('model', 'train_dataloader', 'val_dataloader', 'test_dataloader'),
        *('val_evaluator', 'test_evaluator', 'optim_wrapper', 'visualizer'),
        *('train_cfg', 'val_cfg', 'test_cfg', 'param_scheduler', 'env_cfg'),
        *('default_hooks', 'custom_hooks', 'randomness', 'auto_scale_lr'),
        *('default_scope', 'log_processor', 'log_level', 'load_from'),
    ):
        assert new[key] == old[key], key
