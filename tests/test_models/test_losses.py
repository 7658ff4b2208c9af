# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Each loss alone, against the original and at its edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from criterion_oracle import official_name, oracle_layer, oracle_sample
from mmengine.config import Config
from network_oracle import Oracle
from torch import Tensor

from aios.models.heads import EncoderOutputs, NetworkOutputs
from aios.models.layers import DenoisingQueries
from aios.models.losses import SigmoidFocalLoss, WholeBodyCriterion
from aios.models.task_modules import (
    Matches,
    PersonTargets,
    object_keypoint_similarity,
)
from aios.registry import MODELS
from aios.structures import box_iou, generalized_box_iou

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/models'
SIZES = [(256, 320), (224, 288)]
# Which losses the original multiplies by zero in the layers 2 and 3, and
# which it does not compute there.
NOT_IN_BODY_STAGE = ('_keypoints', '_oks', 'dn_', 'class_error', '_giou')


def published_criterion() -> WholeBodyCriterion:
    config = Config.fromfile(CONFIGS / 'aios_r50_published.py')
    return MODELS.build(config.model.bbox_head.criterion)


def tensors(oracle: Oracle, prefix: str) -> dict[str, Tensor]:
    """Predictions of the oracle that require gradients."""
    found = {}
    for name in oracle:
        if name.startswith(prefix) and name.count('/') == 1:
            value = torch.from_numpy(oracle[name])
            found[name.split('/')[1]] = value.requires_grad_('pred' in name)
    return found


class FixedAssigner:
    """Gives the matches of the oracle."""

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        self.arrays = arrays

    def assign(self, outputs, targets) -> list[Matches]:
        num_candidates = outputs[0][1].logits.shape[1]
        starts = np.cumsum((0, *targets.counts))
        rows, persons = [], []
        for image in range(len(targets.counts)):
            rows.append(self.arrays[f'src{image}'] + image * num_candidates)
            persons.append(self.arrays[f'tgt{image}'] + int(starts[image]))
        rows, persons = torch.cat(rows), torch.cat(persons)
        return [Matches(rows, persons, False) for _ in outputs]


def component_losses(
    oracle: Oracle, batch: Oracle, case: str, layout: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Unweighted losses of the last layer by official names; inputs."""
    arrays = tensors(oracle, f'{case}/')
    prefix = 'T3/' if case == 'T3' else ''
    samples = [
        oracle_sample(batch, i, SIZES[i], prefix=prefix) for i in (0, 1)
    ]
    criterion = published_criterion()
    criterion.assigner = FixedAssigner(arrays)
    weights = criterion.loss_weights['whole_body']
    criterion.loss_weights = {
        layout: dict.fromkeys(
            weights
            if layout == 'whole_body'
            else criterion.loss_weights[layout],
            1.0,
        )
    }
    layer = oracle_layer(arrays, layout)
    proposals = arrays['pred_logits'], arrays['pred_boxes']
    queries = DenoisingQueries(
        content=torch.zeros(2, 5, 1),
        boxes=arrays['dn_bbox_input'],
        groups=torch.zeros(2, 5),
        target_labels=arrays['dn_class_input'],
        target_boxes=arrays['dn_bbox_input'],
    )
    outputs = NetworkOutputs(
        (layer,), EncoderOutputs(*proposals, torch.zeros(0)), queries
    )

    def joints(persons):
        matches = criterion.assigner.assign(
            [('', type('', (), {'logits': layer.logits}))],
            type('', (), {'counts': [len(s.gt_instances) for s in samples]}),
        )[0]
        return [matches.take(arrays['pred_smpl_kp3d']) for _ in persons]

    losses = criterion(outputs, samples, joints)
    return {official_name(k): v for k, v in losses.items()}, arrays


@pytest.fixture(scope='module')
def oracle(data_dir) -> Oracle:
    return Oracle(data_dir / 'oracle/comp_losses.npz')


@pytest.mark.parametrize('case', ['T1', 'T2', 'T3'])
@pytest.mark.parametrize('flag', ['full', 'body'])
def test_each_loss_is_the_original(case, flag, oracle, data_dir) -> None:
    """Values, and norms of the gradient of each loss by each input."""
    run = {'T1': 'T1_dn', 'T2': 'T2_nodn'}.get(case)
    batch = oracle
    if run:
        batch = Oracle(data_dir / f'oracle/train_S_{run}_f64.npz')
    layout = {'full': 'whole_body', 'body': 'body_refinement'}[flag]
    losses, arrays = component_losses(oracle, batch, case, layout)
    expected = json.loads((data_dir / 'oracle/comp_losses.json').read_text())
    prefix = f'{case}/{flag}/'
    wanted = {
        key.removeprefix(prefix): value
        for key, value in expected.items()
        if key.startswith(prefix)
    }
    values = {k: v for k, v in wanted.items() if '/' not in k}
    values.pop('class_error', None)
    if flag == 'full':
        assert set(values) == set(losses)
    for name, value in values.items():
        if name not in losses:
            assert value == 0, name
            continue
        ours = losses[name].item()
        assert ours == pytest.approx(value, rel=2e-6, abs=1e-6), name
        inputs = {k: v for k, v in arrays.items() if v.requires_grad}
        grads = torch.autograd.grad(
            losses[name], inputs.values(), allow_unused=True, retain_graph=True
        )
        for key, grad in zip(inputs, grads, strict=True):
            norm = 0.0 if grad is None else grad.norm().item()
            theirs = wanted.get(f'{name}/gradnorm/{key}', 0.0)
            if flag == 'full':
                assert norm == pytest.approx(theirs, rel=1e-5, abs=1e-7), (
                    name,
                    key,
                )
