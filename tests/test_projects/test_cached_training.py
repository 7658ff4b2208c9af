# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training on cached features, from images to the file that is shipped."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from process_groups import run_group
from script_loader import load_script

from aios.apis import AiOSInferencer
from aios.apis.dist_context import DistContext
from aios.registry import DATASETS, MODELS

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / 'projects/free_model'


@pytest.fixture(scope='module')
def train_cached() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PROJECT))
    yield load_script('projects/free_model/train_cached.py')
    sys.path.remove(str(PROJECT))


@pytest.fixture(scope='module')
def data(
    tmp_path_factory: pytest.TempPathFactory, free_body_dir: Path
) -> Path:
    """A folder of six images of two sizes, one of them without persons."""
    root = tmp_path_factory.mktemp('data')
    load_script('tools/make_synthetic_dataset.py').main(
        [
            *(str(root / 'first'), '--images', '6', '--persons', '1-2'),
            *('--size', '64x96,96x64', '--empty', '0.3', '--photographic'),
            *('--supersample', '1', '--body', str(free_body_dir)),
        ]
    )
    return root


@pytest.fixture(scope='module')
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('config') / 'small.py'
    path.write_text(
        f"_base_ = ['{PROJECT}/aios_s_cached.py']\n"
        'recipe = dict(batch_size=2, warm_up=2)\n'
    )
    torch.manual_seed(0)
    weights = MODELS.build(dict(type='MoveNet', pose_maps=True)).state_dict()
    torch.save(dict(state_dict=weights), path.with_name('backbone.pth'))
    return path


def run(module: ModuleType, config: Path, data: Path, *options: object):
    if not {'--backbone', '--weights'} & {*map(str, options)}:
        options += '--backbone', config.with_name('backbone.pth')
    args = [config, '--data', data, '--save-interval', 1, *options]
    module.run(module.build_parser().parse_args([*map(str, args)]))


def test_features_are_those_of_the_backbone(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    from feature_cache import cache_features, chunks, read_blocks

    settings = Config.fromfile(config)
    torch.manual_seed(0)
    model = MODELS.build(settings.model).eval()
    dataset = DATASETS.build(
        dict(settings.cached_dataset, data_root=str(data / 'first'))
    )
    cache_features(dataset, model, tmp_path)
    blocks = list(read_blocks(chunks(tmp_path)))
    assert sorted(i for b in blocks for i in b.indices) == [*range(6)]
    block = blocks[0]
    item = dataset[block.indices[0]]
    images = model.data_preprocessor(
        dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    )['inputs']
    assert images.shape[-2:] == block.size
    with torch.no_grad():
        expected = model.backbone(images)
    for ours, theirs in zip(block.levels, expected, strict=True):
        # bfloat16 has three digits; which of four offsets counts may differ
        difference = np.abs(ours[0] - theirs[0].numpy())
        is_close = difference < 0.03 * float(theirs.abs().max())
        assert is_close[:18].all()
        assert is_close.mean() > (0.5 if len(is_close) == 86 else 0.999)


class Images:
    """Images without labels, as a dataset."""

    def __init__(self, folder: Path, values: list[int]) -> None:
        self.values = values
        self.data_list = self
        self.files = [folder / f'{value:04d}' for value in values]
        for file, value in zip(self.files, values, strict=True):
            file.write_bytes(bytes(value))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, Any]:
        inputs = torch.full((1, 4, 8), self.values[index])
        return dict(inputs=inputs, data_samples=None)

    def paths(self) -> list[str]:
        return [str(file) for file in self.files]


def test_features_follow_images_that_move(
    train_cached: ModuleType, tmp_path: Path, monkeypatch
):
    import feature_cache

    monkeypatch.setattr(feature_cache, 'CHUNK', 3)
    calls = []

    def backbone(images: torch.Tensor) -> list[torch.Tensor]:
        calls.append(len(images))
        return [images]

    model: Any = SimpleNamespace(
        data_preprocessor=lambda x: dict(inputs=torch.stack(x['inputs'])),
        backbone=backbone,
    )
    folder = tmp_path / 'features'

    def cached(values: list[int]) -> dict[int, float]:
        """Feature of each image by its index."""
        feature_cache.cache_features(Images(tmp_path, values), model, folder)
        return {
            index: float(level[0, 0, 0])
            for block in feature_cache.read_blocks(
                feature_cache.chunks(folder)
            )
            for index, level in zip(
                block.indices, block.levels[0], strict=True
            )
        }

    # the last has no persons, and stays the last when there are more
    assert cached([1, 2, 3, 4, 9]) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 9}
    calls.clear()
    assert cached([1, 2, 3, 4, 5, 9]) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 9}
    assert calls == [3]  # not of the first chunk
    assert cached([1, 2, 3]) == {0: 1, 1: 2, 2: 3}
    assert len(list(folder.iterdir())) == 2
    # an earlier version did not write which images a chunk has
    (index,) = folder.glob('*.json')
    content = json.loads(index.read_text())
    del content['images']
    index.write_text(json.dumps(content))
    calls.clear()
    assert cached([1, 2, 3]) == {0: 1, 1: 2, 2: 3}
    assert not calls


def test_a_training_goes_on_and_ends_in_a_model(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    trunk, end = tmp_path / 'trunk', tmp_path / 'end'
    run(train_cached, config, data, '--state', trunk, '--steps', 1)
    run(train_cached, config, data, '--state', trunk, '--steps', 2)
    last = torch.load(trunk / 'last.pth', weights_only=True)
    assert last['progress']['step'] == 2
    start = '--start', trunk / 'last.pth', '--decay-steps', 2
    options = '--state', end, '--log-interval', 1
    run(train_cached, config, data, *options, *start)
    log = (end / 'log.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in log]
    assert [record['step'] for record in records] == [3, 4]
    assert records[0]['rate'] > records[1]['rate']
    assert all(np.isfinite(record['loss']) for record in records)

    lifter = tmp_path / 'state/lifter.pth'
    for steps in (1, 2):  # the second time it goes on
        load_script('projects/free_model/train_lifter.py').main(
            [str(lifter), '--steps', str(steps), '--poses', '20']
        )
    exported = tmp_path / 'model.safetensors'
    mean = tmp_path / 'mean.safetensors'
    for target, second in ((exported, end / 'average.pth'), (mean, exported)):
        load_script('projects/free_model/export_weights.py').main(
            [
                *(str(trunk / 'average.pth'), str(second)),
                *('--lifter', str(lifter), '--out', str(target)),
            ]
        )
    inferencer = AiOSInferencer(weights=exported, score_thr=0.0)
    image = np.full((64, 96, 3), 128, np.uint8)
    (frame,) = inferencer.stream(image)
    assert len(frame.instances['scores']) > 0

    again = tmp_path / 'again'
    options = '--state', again, '--weights', exported, '--steps', 1
    run(train_cached, config, data, *options)
    begun = torch.load(again / 'last.pth', weights_only=True)['state_dict']
    ended = torch.load(end / 'average.pth', weights_only=True)['state_dict']
    name = 'bbox_head.encoder_box.layers.0.weight'
    # half precision, and one step
    torch.testing.assert_close(begun[name], ended[name], atol=2e-3, rtol=0)

    # The backbone, which is in no checkpoint, comes from there again.
    run(train_cached, config, data, *options[:-1], 2)
    name = 'backbone.stem.weight'
    resumed = torch.load(again / 'average.pth', weights_only=True)
    torch.testing.assert_close(
        resumed['state_dict'][name], ended[name], atol=1e-3, rtol=0
    )


def test_processes_share_batches_and_stay_the_same(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    settings = Config.fromfile(config)

    def work(rank: int) -> None:
        processes = DistContext(rank, 2)
        torch.manual_seed(0)
        training = train_cached.Training(
            settings, tmp_path / f'{rank}', 'cpu', 0, processes
        )
        # the second looked before the folder appeared
        root = (data, tmp_path / 'nothing')[rank]
        cached = train_cached.CachedData(settings, root, 'cpu', processes)
        cached.find(training.model, cache=True)
        torch.manual_seed(rank)
        seen = []
        for levels, samples in cached.batches(np.random.default_rng(0), 2):
            seen += [sample.img_path for sample in samples]
            training.train_step(levels, samples)
        training.save()
        weights = training.model.state_dict()
        torch.save(dict(seen=seen, weights=weights), tmp_path / f'{rank}.pth')

    run_group(2, work, tmp_path)
    first, second = (
        torch.load(tmp_path / f'{rank}.pth', weights_only=True)
        for rank in range(2)
    )
    assert len(first['seen']) == len(second['seen']) > 0
    assert not set(first['seen']) & set(second['seen'])
    torch.testing.assert_close(first['weights'], second['weights'])
    assert (tmp_path / '0/last.pth').is_file()
    assert not (tmp_path / '1').exists()
    torch.manual_seed(0)
    begun = MODELS.build(settings.model)
    begun.init_weights()
    name = 'bbox_head.encoder_box.layers.0.weight'
    assert not torch.equal(begun.state_dict()[name], first['weights'][name])


def test_last_blocks_of_the_backbone_can_be_trained(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    tuned = tmp_path / 'tuned.py'
    tuned.write_text(
        f"_base_ = ['{config}']\nrecipe = dict(keep_pyramid=4.0)\n"
    )
    torch.manual_seed(0)
    begun = MODELS.build(Config.fromfile(tuned).model).backbone
    for stride in begun.strides:  # of photographs none is zero
        begun.get_buffer(f'std_{stride}').fill_(0.5)
        begun.get_buffer(f'mean_{stride}').fill_(0.1)
    backbone = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=begun.state_dict()), backbone)
    state = tmp_path / 'state'
    options = '--state', state, '--backbone', backbone, '--steps', 2
    run(train_cached, tuned, data, *options)
    ended = torch.load(state / 'average.pth', weights_only=True)['state_dict']
    for name, value in begun.state_dict().items():
        trains = re.match(r'blocks\.1\d|last|laterals\.3', name) is not None
        is_same = torch.equal(ended[f'backbone.{name}'], value)
        assert is_same != trains, name


def test_recomputed_blocks_are_those_of_the_cache(train_cached: ModuleType):
    from tuned_blocks import recompute

    torch.manual_seed(0)
    backbone = MODELS.build(dict(type='MoveNet'))
    images = torch.rand(2, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        *_, middle, coarse = backbone(images)
        again_middle, again_coarse, change = recompute(
            backbone, middle, coarse
        )
        # bfloat16 has three digits
        scale = coarse.abs().max().item()
        torch.testing.assert_close(
            again_middle, middle, atol=0.02 * scale, rtol=0.02
        )
        torch.testing.assert_close(
            again_coarse, coarse, atol=0.02 * scale, rtol=0.02
        )
        assert change < 1e-3
        backbone.blocks[10].project.weight.mul_(2)
        _, _, more_change = recompute(backbone, middle, coarse)
    assert more_change > change


def test_a_state_of_other_optimizers_is_refused(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    run(train_cached, config, data, '--state', tmp_path, '--steps', 1)
    other = config.with_name('other.py')
    other.write_text(f"_base_ = ['{config}']\nrecipe = dict(muon=False)\n")
    with pytest.raises(ValueError, match=r'recipe\.muon'):
        run(train_cached, other, data, '--state', tmp_path, '--steps', 2)


def test_muon_takes_the_matrices(train_cached: ModuleType):
    import optimizers

    matrix = torch.nn.Parameter(torch.eye(16))
    others = {
        'embedding': torch.nn.Parameter(torch.zeros(20, 16)),
        'layers.0.bias': torch.nn.Parameter(torch.zeros(16)),
        'sampling_offsets.weight': torch.nn.Parameter(torch.zeros(16, 16)),
    }
    parameters = dict(others, **{'layers.0.weight': matrix})
    steps = optimizers.Optimizers(parameters.items(), rate=0.1, muon=True)
    steps.set_rate(0.01)
    for p in parameters.values():
        p.grad = torch.ones_like(p)
    # rank 1, so that its orthogonal update is ones / 16, of RMS 1 / 16
    steps.step()
    update = (torch.eye(16) * (1 - 0.01 * 1e-2) - matrix).detach()
    expected = torch.full((16, 16), 0.01 * 0.2 * 16**0.5 / 16)
    # Newton-Schulz leaves singular values between 0.7 and 1.2
    torch.testing.assert_close(update, expected, atol=0, rtol=0.4)
    assert all(float(p.detach().abs().max()) < 0.0101 for p in others.values())
    slow = others['sampling_offsets.weight'].detach()
    torch.testing.assert_close(slow, torch.full_like(slow, -0.001))


def test_without_muon_adamw_trains_all(
    train_cached: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    import optimizers

    matrix = torch.nn.Parameter(torch.eye(16))
    monkeypatch.delattr(torch.optim, 'Muon')
    with pytest.warns(UserWarning, match='has no Muon'):
        steps = optimizers.Optimizers([('weight', matrix)], 0.1, muon=True)
    matrix.grad = torch.ones_like(matrix)
    steps.step()
    assert not torch.equal(matrix.detach(), torch.eye(16))
    (state,) = steps.state_dict()
    steps.load_state_dict(state)  # as it was written before there was Muon


def test_processes_share_the_updates_of_matrices(
    train_cached: ModuleType, tmp_path: Path
):
    """A resumed training of two processes goes on like that of one."""
    import optimizers

    torch.manual_seed(0)
    begun = [torch.randn(16 + i, 20) for i in range(3)]
    file = tmp_path / 'state.pth'

    def step(steps: Any, parameters: list[torch.nn.Parameter]) -> None:
        for parameter in parameters:
            parameter.grad = parameter.detach().sin()
        steps.step()

    def work(rank: int, world_size: int = 2) -> list[torch.Tensor]:
        processes = DistContext(rank, world_size)
        parameters = [torch.nn.Parameter(x.clone()) for x in begun]

        def make() -> Any:
            named = [(f'{i}.weight', x) for i, x in enumerate(parameters)]
            return optimizers.Optimizers(named, 0.1, True, processes)

        first = make()
        step(first, parameters)
        state = first.state_dict()
        if rank == 0:
            torch.save(state, file)
        processes.wait()
        second = make()
        second.load_state_dict(torch.load(file, weights_only=True))
        step(second, parameters)
        ended = [x.detach() for x in parameters]
        torch.save((ended, second.state_dict()), tmp_path / f'{rank}.pth')
        return ended

    run_group(2, work, tmp_path)
    (first, state), (second, nothing) = (
        torch.load(tmp_path / f'{rank}.pth', weights_only=True)
        for rank in range(2)
    )
    alone = work(0, world_size=1)
    _, expected = torch.load(tmp_path / '0.pth', weights_only=True)
    torch.testing.assert_close(first, alone)
    torch.testing.assert_close(second, alone)
    assert nothing == []
    muon, expected_muon = state[1]['state'], expected[1]['state']
    torch.testing.assert_close(muon, expected_muon)
    assert len(muon) == 3


def test_features_of_random_weights_are_refused(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    args = [str(config), '--data', str(data), '--state', str(tmp_path)]
    with pytest.raises(SystemExit, match='--backbone is needed'):
        train_cached.run(train_cached.build_parser().parse_args(args))


def test_it_trains_on_the_device(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    devices = []

    def start(config: Config, state: Path, device: str, *args: object):
        devices.append(device)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_cached, 'Training', start)
        for device in ('cpu', 'cuda'):
            options = '--state', tmp_path, '--device', device
            with pytest.raises(KeyboardInterrupt):
                run(train_cached, config, data, *options)
    assert devices == ['cpu', 'cuda']


def test_too_few_images(
    train_cached: ModuleType, config: Path, data: Path, tmp_path: Path
):
    settings = Config.fromfile(config)
    cached = train_cached.CachedData(settings, data)
    cached.find(MODELS.build(settings.model), cache=True)
    with pytest.raises(ValueError, match='6 images, fewer than'):
        next(cached.batches(np.random.default_rng(0), 100))
