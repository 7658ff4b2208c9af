# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A step of training, against the original.

Outputs, matches, all losses and their gradients.

The small float64 set runs always.  The full float32 cases need the folder of
``train_T1_dn.npz`` and others in the environment variable
``AIOS_ORACLE_DIR``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from criterion_oracle import (
    official_name,
    oracle_sample,
    original_axis_angle_to_matrix,
    published_criterion,
)
from mmdet.structures import DetDataSample
from network_oracle import (
    FULL,
    ORACLE_DIR,
    SMALL,
    Images,
    Oracle,
    OracleNoise,
    double_precision_constants,
    layer_outputs,
)

from aios.models import AiOS
from aios.models.checkpoints.key_map import canonical_name, to_ours
from aios.models.heads import NetworkOutputs
from aios.models.layers import DenoisingQueryGenerator
from aios.models.task_modules import (
    BatchHungarianAssigner,
    Matches,
    person_targets,
)


@dataclass
class TrainingRun:
    """A training step of ours on what the original had.

    Args:
        losses: Weighted losses by official names.
        matches: Of the encoder and of each layer, with the number of
            candidates of an image.
        gradients: Norm of each parameter's gradient, by our names.
    """

    outputs: NetworkOutputs
    losses: dict[str, float]
    matches: list[tuple[int, Matches]] = field(default_factory=list)
    gradients: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        return sum(self.losses.values())


def training_samples(
    oracle: Oracle, images: Images, dtype: torch.dtype
) -> list[DetDataSample]:
    samples = images.samples()
    for i, sample in enumerate(samples):
        filled = oracle_sample(oracle, i, images.sizes[i], dtype)
        sample.gt_instances = filled.gt_instances
    return samples


@contextmanager
def recorded_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[tuple[int, Matches]]]:
    """Number of candidates and matches of all outputs."""
    found: list[tuple[int, Matches]] = []
    assign = BatchHungarianAssigner.assign

    def record(self, outputs, targets):
        matches = assign(self, outputs, targets)
        numbers = [x.logits.shape[1] for _, x in outputs]
        found.extend(zip(numbers, matches, strict=True))
        return matches

    with monkeypatch.context() as patch:
        patch.setattr(BatchHungarianAssigner, 'assign', record)
        yield found


def train(
    model: AiOS, images: Images, oracle: Oracle, monkeypatch
) -> TrainingRun:
    """One forward and backward pass."""
    dtype = model.level_embed.dtype
    noise = OracleNoise(oracle)
    monkeypatch.setattr(
        DenoisingQueryGenerator, 'draw_noise', lambda *args: noise(*args)
    )
    monkeypatch.setattr(
        person_targets, 'axis_angle_to_matrix', original_axis_angle_to_matrix
    )
    model.bbox_head.criterion = published_criterion().to(dtype)
    model.train()
    samples = training_samples(oracle, images, dtype)
    outputs: list[NetworkOutputs] = []
    model.bbox_head.register_forward_hook(
        lambda _, __, result: outputs.append(result)
    )
    with recorded_matches(monkeypatch) as matches:
        losses = model(images.tensor(dtype), samples, mode='loss')
    sum(losses.values()).backward()
    (result,) = outputs
    return TrainingRun(
        result,
        {official_name(k): v.item() for k, v in losses.items()},
        matches,
        {
            name: parameter.grad.norm().item()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        },
    )


def check_outputs(
    run: TrainingRun, model: AiOS, oracle: Oracle, atol: dict[str, float]
) -> None:
    """Outputs of the last layer, and the denoising queries."""
    with torch.no_grad():
        final = layer_outputs(model, run.outputs.layers[-1], 'smplx_137')
    expected = [name for name in oracle if name.startswith('out/')]
    assert len(expected) >= 9
    for name in expected:
        ours = final[name.split('/')[1]].detach()
        difference = oracle.difference(name, ours)
        assert difference <= atol.get(name, atol['']), name
    queries = run.outputs.dn_queries
    assert ('dn_bbox_pred' in final) == (queries is not None)
    if queries is None:
        return
    # The original keeps logits of the boxes.
    boxes = oracle['dn/input_query_bbox']
    boxes[:] = 1 / (1 + np.exp(-boxes))
    for name, value in (
        ('known_labels', queries.target_labels),
        ('known_bboxs', queries.target_boxes),
        ('input_query_label', queries.content),
        ('input_query_bbox', queries.boxes),
    ):
        difference = oracle.difference(f'dn/{name}', value.detach())
        assert difference <= atol[''], name


def check_matches(run: TrainingRun, oracle: Oracle) -> None:
    """Every person has the candidate it has in the original."""
    last = len(run.matches) - 2
    names = ['interm', *(f'aux{i}' for i in range(last)), 'final']
    for name, (num_candidates, matches) in zip(
        names, run.matches, strict=True
    ):
        assert matches.complete
        start = 0
        for image in (0, 1):
            source = oracle[f'match/{name}/{image}/src']
            target = oracle[f'match/{name}/{image}/tgt']
            ours = matches.candidates[start : start + len(source)]
            ours = ours.numpy() - image * num_candidates
            np.testing.assert_array_equal(ours[target], source)
            start += len(source)


def check_losses(run: TrainingRun, expected: dict, rel: float) -> None:
    """All weighted losses; those we leave out are zero."""
    weights = expected['weights'] | expected['weights_engine']
    theirs = {
        name: weights[name] * value
        for name, value in expected['losses'].items()
        if weights.get(name)
    }
    assert len(theirs) == (159 if expected['dn'] else 159 - 6 * 3)
    assert set(run.losses) <= set(theirs)
    for name, value in theirs.items():
        if name not in run.losses:
            assert value == 0, name
        else:
            assert run.losses[name] == pytest.approx(value, rel=rel), name
    assert run.total == pytest.approx(expected['total_engine'], rel=rel)


def check_gradients(run: TrainingRun, path: Path, rel: float) -> None:
    """Norm of the gradient of every parameter."""
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter='\t'))
    theirs = {
        to_ours(canonical_name(row['parameter'])): float(row['l2'])
        for row in rows
    }
    left_out = set(theirs) ^ set(run.gradients)
    # In a run without denoising the original still has its labels.
    assert left_out <= {'dn_query_generator.label_embedding.weight'}
    assert all(theirs.pop(name) == 0 for name in left_out)
    largest = max(theirs.values())
    for name, value in theirs.items():
        assert run.gradients[name] == pytest.approx(
            value, rel=rel, abs=1e-12 * largest
        ), name


@pytest.mark.parametrize(
    'case', ['T1_dn', pytest.param('T2_nodn', marks=pytest.mark.slow)]
)
def test_small_double(case, data_dir, make_oracle_model, monkeypatch) -> None:
    """The float64 set, denoising on or off."""
    folder = data_dir / 'oracle'
    oracle = Oracle(folder / f'train_S_{case}_f64.npz')
    denoising = case.endswith('_dn')
    model = make_oracle_model(True, denoising, torch.float64)
    with double_precision_constants():
        run = train(model, SMALL, oracle, monkeypatch)
        check_outputs(run, model, oracle, {'': 1e-8})
    assert (run.outputs.dn_queries is not None) == denoising
    check_matches(run, oracle)
    expected = (folder / f'train_S_{case}_f64.json').read_text()
    check_losses(run, json.loads(expected), rel=1e-8)
    check_gradients(run, folder / f'train_S_{case}_f64_grads.tsv', rel=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not ORACLE_DIR, reason='AIOS_ORACLE_DIR is not set')
@pytest.mark.parametrize('case', ['T0_dn', 'T1_dn', 'T1_nodn', 'T2_dn'])
def test_full_float(case, make_oracle_model, monkeypatch) -> None:
    """The full model; in T0 the second image has no person."""
    folder = Path(ORACLE_DIR)
    oracle = Oracle(folder / f'train_{case}.npz')
    model = make_oracle_model(denoising=case.endswith('_dn'))
    run = train(model, FULL['A'], oracle, monkeypatch)
    check_outputs(run, model, oracle, {'': 1e-5, 'out/pred_smpl_kp3d': 1e-4})
    check_matches(run, oracle)
    expected = (folder / f'train_{case}.json').read_text()
    check_losses(run, json.loads(expected), rel=1e-5)
    check_gradients(run, folder / f'train_{case}_grads.tsv', rel=3e-3)
