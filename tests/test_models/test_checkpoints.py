# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
# Long because one tree of faults in checkpoints is tried on every reader.
from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_pickles import Call
from mmengine.logging import MessageHub
from mmengine.model import BaseModule, ExponentialMovingAverage
from mmengine.runner import CheckpointLoader, load_checkpoint
from oracle_weights import canonical, official_shapes
from script_loader import load_script

from aios.models.checkpoints import (
    CheckpointError,
    check_state_dict,
    convert,
    export,
    is_official,
    key_map,
    loading,
    read_checkpoint,
    select_weights,
)

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/model_converters/aios_to_mm.py'
SHAPES = official_shapes()
NAMES = [name for name in SHAPES if not name.startswith('body_model.')]
NUMBERS = {
    name: i for i, name in enumerate(sorted(set(map(canonical, NAMES))))
}


def fake(edpose=False, body_model=True):
    """All tensors of the published file, each filled with one number."""
    weights = {}
    for name, shape in official_shapes(edpose).items():
        if name.startswith('body_model.'):
            if body_model:
                weights[name] = torch.zeros(1)
        else:
            number = float(NUMBERS[canonical(name)])
            weights[name] = torch.tensor(number).expand(shape)
    return weights


@pytest.fixture(autouse=True)
def mmengine_reads_data(monkeypatch):
    """As in a training of this package; undone after each test."""
    monkeypatch.setattr(
        CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes)
    )
    loading.install_loader()


class Owner(BaseModule):
    """Has the parameters of AiOS, and loads like it."""

    def __init__(self, weights):
        super().__init__()
        for name, tensor in weights.items():
            *path, leaf = name.split('.')
            module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, torch.nn.Module())
                module = module._modules[part]
            module.register_buffer(leaf, torch.zeros_like(tensor))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        check_state_dict(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


@pytest.fixture(scope='module')
def converted():
    return convert(fake())


# ---- the table


def test_the_table_is_that_of_the_original():
    shapes = {canonical(name): SHAPES[name] for name in NAMES}
    table = key_map.official_tensors()
    assert {name: row.shape for name, row in table.items()} == shapes
    edpose = {canonical(name) for name in official_shapes(edpose=True)}
    assert {name for name in table if table[name].in_edpose} == edpose
    assert len(table) == 927
    assert len(official_shapes(edpose=True)) == 735


def test_second_names():
    for name in NAMES:
        first = key_map.canonical_name(name)
        assert first == canonical(name)
        assert name in key_map.aliases(first)
        assert all(other in SHAPES for other in key_map.aliases(first))


def test_every_rule_is_needed_and_reversible():
    ours = {name: key_map.to_ours(name) for name in key_map.official_tensors()}
    assert None not in ours.values()
    assert len(set(ours.values())) == len(ours) == 927
    for official, name in ours.items():
        assert key_map.to_official(name) == official
    for rule in key_map.RULES:
        assert any(rule.to_ours(name) == ours[name] for name in ours)


def test_the_model_has_these_names():
    """All tensors of the base config, and no other."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from aios.registry import MODELS

    config = Config.fromfile(ROOT / 'configs/_base_/models/aios_r50.py')
    init_default_scope('aios')
    with torch.device('meta'):
        model = MODELS.build(config.model)
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.endswith('num_batches_tracked')
    }
    assert shapes == {
        key_map.to_ours(name): row.shape
        for name, row in key_map.official_tensors().items()
    }


# ---- conversion


def test_convert_all(converted):
    assert converted.network == 'AiOS'
    assert len(converted.state_dict) == 927
    assert len(converted.aliases) == 300
    assert len(converted.body_model) == 27
    assert not converted.unknown
    assert not converted.missing
    for name, official in converted.origin.items():
        tensor = converted.state_dict[name]
        assert tensor.shape == SHAPES[official]
        assert tensor.eq(NUMBERS[official]).all()


def test_convert_edpose():
    conversion = convert(fake(edpose=True))
    assert conversion.network == 'ED-Pose'
    assert len(conversion.state_dict) + len(conversion.aliases) == 735
    assert not conversion.missing


def test_export_is_lossless(converted):
    counters = {'backbone.bn1.num_batches_tracked': torch.tensor(3)}
    exported = export({**converted.state_dict, **counters})
    expected = fake(body_model=False)
    assert exported.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(exported[name], tensor)


def test_export_of_another_model(converted):
    with pytest.raises(CheckpointError, match='backbone.stages.0.weight'):
        export({'backbone.stages.0.weight': torch.zeros(1)})
    narrow = {'level_embed': torch.zeros(4, 128)}
    with pytest.raises(CheckpointError, match=r'level_embed.*\(4, 128\)'):
        export(narrow)


def broken(change):
    weights = fake()
    change(weights)
    return weights


def drop(name):
    return lambda weights: weights.pop(name)


def put(name, value):
    return lambda weights: weights.update({name: value})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop('smpl_cam_embed.3.layers.2.bias'), 'missing: smpl_cam_embed.3'),
        (put('fc.weight', torch.zeros(1)), 'unknown: fc.weight'),
        (
            put('level_embed', torch.zeros(4, 256)),
            'unknown: level_embed',  # ours, not theirs
        ),
        (
            put('transformer.level_embed', torch.zeros(4, 128)),
            r'transformer.level_embed has shape \(4, 128\).*\(4, 256\)',
        ),
        (
            put('transformer.level_embed', torch.full((4, 256), torch.nan)),
            'transformer.level_embed holds NaN',
        ),
        (
            put('transformer.level_embed', torch.full((4, 256), torch.inf)),
            'transformer.level_embed holds NaN or infinite',
        ),
        (
            put('pose_hw_embed.2.layers.0.bias', torch.zeros(256)),
            r'pose_hw_embed.2.layers.0.bias differs from .*pose_hw_embed',
        ),
        (
            put('transformer.decoder.class_embed.1.bias', torch.zeros(2)),
            'class_embed.1.bias differs from ',
        ),
    ],
)
def test_convert_refuses(change, message):
    with pytest.raises(CheckpointError, match=message):
        convert(broken(change))


def test_nan_in_a_shared_tensor_is_reported_as_nan():
    weights = fake()
    for name in key_map.aliases('class_embed.1.bias'):
        weights[name] = torch.full((2,), torch.nan)
    with pytest.raises(CheckpointError, match='class_embed.1.bias holds NaN'):
        convert(weights)


def test_allow_partial():
    weights = fake()
    weights['fc.weight'] = torch.zeros(1)
    del weights['smpl_cam_embed.3.layers.2.bias']
    conversion = convert(weights, allow_partial=True)
    assert conversion.unknown == ('fc.weight',)
    assert conversion.missing == ('smpl_cam_embed.3.layers.2.bias',)
    assert len(conversion.state_dict) == 926
    weights['transformer.level_embed'] = torch.zeros(4, 128)
    with pytest.raises(CheckpointError, match='shape'):
        convert(weights, allow_partial=True)
    with pytest.raises(CheckpointError, match='contains no tensor'):
        convert({'fc.weight': torch.zeros(1)}, allow_partial=True)


# ---- files


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: weights,
        lambda weights: {'model': weights, 'epoch': 3},
        lambda weights: {
            'model': {f'module.{k}': v for k, v in weights.items()}
        },
        lambda weights: {'state_dict': weights, 'meta': {}},
        lambda weights: {
            'model': weights,
            'args': argparse.Namespace(output_dir=Path('/somewhere'), lr=1e-4),
            'optimizer': {'state': {}},
        },
    ],
    ids=['plain', 'model', 'module', 'mmengine', 'namespace'],
)
def test_layouts(tmp_path, wrap):
    weights = {'a.weight': torch.ones(2), 'b': torch.zeros(3)}
    torch.save(wrap(weights), tmp_path / 'file.pth')
    found = select_weights(read_checkpoint(tmp_path / 'file.pth'))
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_ema():
    content = {
        'model': {'a': torch.zeros(1)},
        'ema_model': {'module.a': torch.ones(1)},
    }
    assert select_weights(content)['a'] == 0
    assert select_weights(content, ema=True)['a'] == 1
    averaged = {'steps': torch.tensor(5), 'module.a': torch.ones(1)}
    content = {'state_dict': {}, 'ema_state_dict': averaged}
    assert select_weights(content, ema=True) == {'a': torch.ones(1)}
    with pytest.raises(CheckpointError, match='no averaged weights.*model'):
        select_weights({'model': {'a': torch.zeros(1)}}, ema=True)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'model': {}}, 'no weights'),
        ({'model': {'a': 'text'}}, "'a' must be a tensor, got str"),
        ({'epoch': 3}, "'epoch' must be a tensor, got int"),
    ],
)
def test_no_weights(content, message):
    with pytest.raises(CheckpointError, match=message):
        select_weights(content)


def test_code_in_a_file_never_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = Call(eval, "__import__('os').mkdir('evil_was_here')")
    torch.save({'model': {'a': torch.ones(1)}, 'x': evil}, 'evil.pth')
    for read in (read_checkpoint, CheckpointLoader.load_checkpoint):
        assert read('evil.pth')['model']['a'] == 1
    for evil in (
        Call(os.mkdir, 'evil_was_here'),
        Call(getattr, Path('evil_was_here'), 'mkdir'),
    ):
        torch.save({'model': {'a': torch.ones(1)}, 'x': evil}, 'evil.pth')
        for read in (read_checkpoint, CheckpointLoader.load_checkpoint):
            with pytest.raises(CheckpointError, match='evil.pth'):
                read('evil.pth')
    assert not Path('evil_was_here').exists()


def test_resuming_with_mmengine(tmp_path):
    """Its checkpoints hold histories and NumPy numbers."""
    hub = MessageHub('test_resuming_with_mmengine')
    hub.update_scalar('loss', 1.5)
    hub.update_scalar('loss', np.float64(2.5))
    hub.update_info('where', np.arange(3, dtype=np.int32))
    content = dict(
        state_dict={'a': torch.ones(1)},
        message_hub=hub.state_dict(),
        meta=dict(seed=np.int64(3), rate=np.float32(0.1)),
    )
    torch.save(content, tmp_path / 'epoch_1.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'epoch_1.pth'))
    assert loaded['meta'] == content['meta']
    history = loaded['message_hub']['log_scalars']['loss']
    assert history.mean() == 2
    assert loaded['message_hub']['runtime_info']['where'].tolist() == [0, 1, 2]


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent.pth'):
        read_checkpoint(tmp_path / 'absent.pth')
    torch.save({'model': {'a': torch.ones(1000)}}, tmp_path / 'whole.pth')
    whole = (tmp_path / 'whole.pth').read_bytes()
    for content in (b'', b'<html>', b'\x80\x02N.', whole[:2000]):
        (tmp_path / 'bad.pth').write_bytes(content)
        with pytest.raises(CheckpointError, match='bad.pth'):
            read_checkpoint(tmp_path / 'bad.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(
        CheckpointError, match='list.pth: must be a dict, got list'
    ):
        read_checkpoint(tmp_path / 'list.pth')


# ---- loading through MMEngine


@pytest.fixture(scope='module')
def official_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('official') / 'aios_checkpoint.pth'
    torch.save({'model': fake(), 'args': argparse.Namespace()}, path)
    return path


@pytest.fixture(scope='module')
def owner(converted):
    with torch.device('meta'):
        return Owner(converted.state_dict).to_empty(device='cpu')


def assert_loaded(model, converted):
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, converted.state_dict[name]), name


def test_mmengine_loads_official_files(owner, converted, official_file):
    load_checkpoint(owner, str(official_file), strict=True)
    assert_loaded(owner, converted)


def test_runner_hooks_get_our_names(official_file, monkeypatch):
    """MMEngine's EMAHook looks for `state_dict` in the file's content."""
    messages = []
    monkeypatch.setattr(
        loading, 'print_log', lambda text, logger: messages.append(text)
    )
    content = CheckpointLoader.load_checkpoint(
        str(official_file), map_location='cpu'
    )
    assert 'level_embed' in content['state_dict']
    assert 'is an official AiOS checkpoint' in messages[0]


def test_broken_official_file_is_named(tmp_path):
    torch.save({'model': broken(drop('label_enc.weight'))}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: .*label_enc'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))


def test_text_that_resuming_would_run_is_left_out(tmp_path):
    """``Runner.resume`` passes it to ``Config.fromstring``."""
    content = {'state_dict': {}, 'meta': {'epoch': 3, 'config': 'import os'}}
    torch.save(content, tmp_path / 'a.pth')
    read = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    assert read['meta'] == {'epoch': 3}


def test_other_files_stay_as_they_are(tmp_path):
    content = {'state_dict': {'a': torch.ones(1)}, 'meta': {'epoch': 3}}
    torch.save(content, tmp_path / 'a.pth')
    path = str(tmp_path / 'a.pth')
    assert CheckpointLoader.load_checkpoint(path) == content


def test_weights_that_were_saved_alone(tmp_path):
    """MMEngine's EMAHook asks every checkpoint for its ``state_dict``."""
    torch.save({'a': torch.ones(1)}, tmp_path / 'alone.pth')
    content = CheckpointLoader.load_checkpoint(str(tmp_path / 'alone.pth'))
    assert content == {'state_dict': {'a': torch.ones(1)}}


def test_official_state_dict(owner, converted):
    weights = {f'module.{name}': v for name, v in fake().items()}
    owner.load_state_dict(weights, strict=True)
    assert_loaded(owner, converted)


def test_averaged_model():
    inner = Owner({'a.b': torch.ones(2)})
    averaged = ExponentialMovingAverage(inner)
    averaged.load_state_dict(
        {'steps': torch.tensor(4), 'module.a.b': torch.ones(2)}
    )
    assert averaged.module.state_dict()['a.b'].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'fc.weight': torch.ones(1)}, 'another network: fc.weight.*Owner'),
        ({'a.b': torch.ones(3)}, r'a\.b has shape \(3,\).*\(2,\)'),
        ({'a.b': torch.tensor([1, torch.nan])}, r'a\.b holds NaN'),
    ],
)
@pytest.mark.parametrize('strict', [True, False])
def test_weights_that_do_not_fit(tmp_path, weights, message, strict):
    """MMEngine alone would log this and go on with random weights."""
    model = Owner({'a.b': torch.ones(2), 'c': torch.ones(2)})
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(model, str(tmp_path / 'a.pth'), strict=strict)


def test_is_official():
    assert is_official(fake())
    assert is_official(fake(edpose=True))
    assert not is_official(
        ['transformer.level_embed', 'backbone.conv1.weight']
    )


# ---- the command


@pytest.fixture
def run_tool(capsys):
    """Run the converter with arguments; returns what it prints."""
    module = load_script(TOOL)

    def run(*arguments):
        module.main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return run


def test_command(tmp_path, official_file, converted, run_tool):
    ours, back = tmp_path / 'ours.pth', tmp_path / 'back.pth'
    report = run_tool(official_file, ours)
    assert re.search(r'^total +927 ', report, re.MULTILINE)
    assert '27 tensors of the body model' in report
    content = read_checkpoint(ours)
    assert content['meta']['source'] == 'aios_checkpoint.pth'
    assert content['meta']['source_sha256'] in report
    assert_loaded_dict(content['state_dict'], converted.state_dict)
    run_tool(ours, back, '--reverse')
    assert_loaded_dict(read_checkpoint(back)['model'], fake(body_model=False))


def assert_loaded_dict(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def test_command_refuses(tmp_path, official_file, run_tool):
    target = tmp_path / 'ours.pth'
    with pytest.raises(SystemExit, match='no averaged weights'):
        run_tool(official_file, target, '--ema')
    with pytest.raises(SystemExit, match='absent.pth'):
        run_tool(tmp_path / 'absent.pth', target)
    other = tmp_path / 'other.pth'
    torch.save({'model': {'fc.weight': torch.ones(1)}}, other)
    with pytest.raises(SystemExit, match=r'no tensor of .*, but fc\.weight'):
        run_tool(other, target)
    other.write_text('text')
    with pytest.raises(SystemExit, match=f'^error: {other}: damaged'):
        run_tool(other, target)
    assert not target.exists()
    target.write_text('precious')
    with pytest.raises(SystemExit, match='--overwrite'):
        run_tool(official_file, target)
    assert target.read_text() == 'precious'
    run_tool(official_file, target, '--overwrite')
    assert 'state_dict' in read_checkpoint(target)
