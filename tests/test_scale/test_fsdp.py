# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Two processes with a model in pieces do what two with copies do.

The processes are forked, so that nothing is imported again.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmengine.config import Config
from mmengine.model import (
    MMDistributedDataParallel,
    MMFullyShardedDataParallel,
)
from mmengine.optim import OptimWrapper
from process_groups import run_group
from script_loader import load_main
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from aios.engine.fsdp import ShardedOptimWrapper, _total_norm, wrap_layers
from aios.models import AiOS
from aios.models.checkpoints import read_checkpoint
from aios.registry import MODELS

ROOT = Path(__file__).parents[2]
TOYS = ROOT / 'tests/test_tools'
SIZE = (64, 96)
QUICKLY = (
    *('train_dataloader.num_workers=0',),
    *('train_dataloader.persistent_workers=False',),
)


def make_model(**changes: object) -> AiOS:
    """The smallest network, in training mode; norms keep their numbers."""
    config = Config.fromfile(ROOT / 'configs/aios/aios_tiny.py').model
    config.encoder.num_layers = 1
    for stage in config.decoder.stages:
        stage.num_layers = 1
    config.backbone.norm_eval = True
    config.update(changes)
    torch.manual_seed(0)
    model = MODELS.build(config)
    assert model.bbox_head.body_model  # loaded once, before the fork
    return model.train()


def make_batch(seed: int, images: int) -> tuple[Tensor, list]:
    """Noise with two persons in each image."""
    torch.manual_seed(seed)
    samples = [
        image_sample(SIZE, ground_truth(2, SIZE)) for _ in range(images)
    ]
    return torch.randn(images, 3, *SIZE), samples


def train_steps(
    model: nn.Module, wrapper: OptimWrapper, rank: int
) -> list[float]:
    """Two steps; the losses of this process."""
    losses = []
    for step in range(2):
        batch, samples = make_batch(10 * step + rank, 1)
        with wrapper.optim_context(model):
            parts = model(batch, samples, mode='loss')
        loss = sum(value for name, value in parts.items() if 'loss' in name)
        wrapper.update_params(loss)
        losses.append(loss.item())
    return losses


def _compare_network(rank: int, model: AiOS) -> None:
    options = dict(clip_grad=dict(max_norm=0.1))
    whole = MMDistributedDataParallel(
        copy.deepcopy(model), find_unused_parameters=True
    )
    pieces = MMFullyShardedDataParallel(
        model, auto_wrap_policy=wrap_layers, device_id='cpu'
    )
    units = FullyShardedDataParallel.fsdp_modules(pieces)
    # itself, four stages of the backbone, 1 + 3 layers
    assert len(units) == 9
    count = sum(p.numel() for p in pieces.parameters())
    assert count < 0.55 * sum(p.numel() for p in whole.parameters())
    results = []
    for kind, wrapped in (
        (OptimWrapper, whole),
        (ShardedOptimWrapper, pieces),
    ):
        optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
        wrapper = kind(optimizer=optimizer, **options)
        results.append(train_steps(wrapped, wrapper, rank))
    assert results[1] == pytest.approx(results[0], rel=1e-4)
    with FullyShardedDataParallel.summon_full_params(pieces):
        expected = whole.module.state_dict()
        for name, value in pieces.module.named_parameters():
            name = name.replace('_fsdp_wrapped_module.', '')
            torch.testing.assert_close(
                value, expected[name], rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize('kind', [1.0, 2.0, torch.inf])
def test_norm_of_all_shards(kind: float, tmp_path: Path):
    shards = [torch.tensor([3.0, -4.0])], [torch.tensor([0.5]), torch.ones(2)]

    def work(rank: int) -> None:
        device = torch.device('cpu')
        expected = torch.cat([*shards[0], *shards[1]]).norm(kind)
        torch.testing.assert_close(
            _total_norm(shards[rank], kind, device), expected
        )

    run_group(2, work, tmp_path)


@pytest.mark.slow
def test_two_steps_of_the_network(tmp_path: Path):
    run_group(2, _compare_network, tmp_path, make_model())


def test_accumulated_gradients_are_those_of_the_larger_batch():
    """If all images have the same number of persons; see the docs."""
    model = make_model(dn_cfg=None)
    batch, samples = make_batch(0, 2)
    updated = []
    for count in (1, 2):
        trained = copy.deepcopy(model)
        wrapper = OptimWrapper(
            torch.optim.SGD(trained.parameters(), lr=0.1),
            accumulative_counts=count,
            clip_grad=dict(max_norm=0.1),
        )
        size = 2 // count
        for i in range(count):
            images = batch[i * size : (i + 1) * size]
            persons = samples[i * size : (i + 1) * size]
            with wrapper.optim_context(trained):
                losses = trained(images, persons, mode='loss')
            wrapper.update_params(
                sum(v for name, v in losses.items() if 'loss' in name)
            )
        updated.append(dict(trained.named_parameters()))
    moved = 0
    for name, value in updated[0].items():
        torch.testing.assert_close(
            value, updated[1][name], rtol=1e-3, atol=2e-6, msg=name
        )
        moved += not torch.equal(value, model.get_parameter(name))
    assert moved > 100


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """tools/train.py, in a place where it finds the toy data."""
    (tmp_path / 'data').mkdir()
    monkeypatch.setenv('TOY_ROOT', str(tmp_path / 'data'))
    monkeypatch.syspath_prepend(str(TOYS))
    return load_main('tools/train.py')


def _train(rank: int, tool: Callable, config: Path, *options: str) -> None:
    sys.stdout = open(os.devnull, 'w')  # noqa: SIM115
    tool(config, '--launcher', 'pytorch', *options)


def _losses(folder: Path) -> dict[int, tuple[float, float]]:
    """Loss and norm of the gradient by step, of the last run."""
    path = max(folder.glob('*/vis_data/scalars.json'))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {r['step']: (r['loss'], r['grad_norm']) for r in records[:-1]}


def test_training_and_resuming(tmp_path: Path, tool: Callable):
    """FlexibleRunner, clipping, checkpoints, damage: as without FSDP."""
    toy = Path(__file__).with_name('toy_config_fsdp.py')
    plain, pieces, again = (tmp_path / x for x in ('plain', 'pieces', 'again'))
    clip = 'optim_wrapper.clip_grad.max_norm=0.1'

    def train(folder: Path, config: Path, *options: str) -> None:
        changes = '--cfg-options', *QUICKLY, *options
        words = '--work-dir', str(folder), '--resume', *changes
        run_group(2, _train, tmp_path, tool, config, *words)

    train(plain, TOYS / 'toy_config.py', clip)
    train(pieces, toy)
    losses = _losses(pieces)
    assert len(losses) == 6
    for step, (loss, norm) in _losses(plain).items():
        assert losses[step] == pytest.approx((loss, norm), rel=1e-5)
    assert max(norm for _, norm in losses.values()) > 1, 'clipping matters'
    shutil.copytree(pieces, again)
    (again / 'epoch_3.pth').write_bytes(b'damaged')
    train(again, toy)
    for step, numbers in _losses(again).items():
        assert numbers == pytest.approx(losses[step], rel=1e-5)
    assert set(_losses(again)) == {5, 6}
    one, other = (
        read_checkpoint(folder / 'epoch_3.pth') for folder in (pieces, again)
    )
    assert set(one['state_dict']) == {
        f'{part}.{name}'
        for part in ('backbone', 'head')
        for name in ('weight', 'bias')
    }
    for name, value in one['state_dict'].items():
        torch.testing.assert_close(value, other['state_dict'][name])
