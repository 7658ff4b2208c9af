# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network computes what the original implementation computes.

The small float64 set (two images, 20 persons) runs always. The full float32
cases need the folder of ``forward_A.npz`` and others in the environment
variable ``AIOS_ORACLE_DIR``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from network_oracle import (
    FULL,
    ORACLE_DIR,
    SMALL,
    Images,
    Oracle,
    double_precision_constants,
    encoder_outputs,
    in_order_of,
    last_refinement,
    layer_outputs,
    person_scores,
    post_processed,
    record_forward,
)
from torch import Tensor

# Placeholders of the original that are zero by construction, its bookkeeping,
# and the input.
NOT_COMPUTED = re.compile(
    r'img|img_shape|.*/zero_shapes|interm/pred_keypoints'
    r'|aux[23]/pred_(lhand|rhand|face)_keypoints'
    r'|post/\d/(image_idx|img_shape|bb2img_trans|img2bb_trans)'
    r'|attn_mask\d/shape'
)
# Bodies differ by more than rounding: the smplx package adds 1e-8 to every
# axis-angle before it takes the angle, ours does not.
TOLERANCES_FULL = {
    r'.*pred_smpl_(pose|lhand_pose|rhand_pose|jaw_pose|fullpose)': 1e-4,
    r'.*(pred_smpl_(kp3d|verts).*)|post/.*(kp3d|verts|_pose|cam_trans)': 1e-4,
    r'encoder/.*|decoder/(hs|layer|query_pos).*': 3e-5,
    r'two_stage/(memory|output_memory|class|bbox|topk_value|hs_enc).*': 3e-5,
    r'interm/pred_logits': 3e-5,  # among values up to 18
    r'backbone/.*|src/.*': 3e-5,
    r'.*': 1e-5,
}
DEVICES = [
    'cpu',
    pytest.param(
        'cuda',
        marks=pytest.mark.skipif(
            not torch.cuda.is_available(), reason='there is no GPU'
        ),
    ),
]


def tolerance(name: str, small: bool) -> float:
    if small:
        return 1e-8
    return next(
        value
        for pattern, value in TOLERANCES_FULL.items()
        if re.fullmatch(pattern, name)
    )


def everything(
    model, images: Images, dtype, device: str = 'cpu'
) -> dict[str, Tensor]:
    """All tensors of the oracle's forward files, by their names."""
    batch = images.tensor(dtype).to(device)
    model.eval()
    record, outputs = record_forward(model, batch, images.samples())
    last = len(outputs.layers) - 1
    with torch.no_grad():
        record[f'decoder/reference{last + 1}'] = last_refinement(model, record)
        scores = person_scores(model, record)
        record['decoder/topk_value'] = scores
        record['decoder/topk_min_gap'] = -scores.diff(dim=0).amax(0)
        record |= encoder_outputs(outputs)
        for index, layer in enumerate(outputs.layers):
            prefix = 'out' if index == last else f'aux{index}'
            predicted = layer_outputs(
                model, layer, 'smplx_144', vertices=index == last
            )
            for name, value in predicted.items():
                record[f'{prefix}/{name}'] = value
        samples = model(batch, images.samples(), mode='predict')
    points = outputs.layers[last].points['body_keypoints']
    for i, sample in enumerate(samples):
        for name, value in post_processed(sample.pred_instances).items():
            record[f'post/{i}/{name}'] = value
        # The original returns those of all candidates, not in pixels.
        record[f'post/{i}/keypoints_coco'] = points[i]
        # Compare fractions of the image, as everywhere.
        extent = record[f'post/{i}/smplx_joint_proj'].new_tensor(
            images.sizes[i][::-1]
        )
        for name in ('body', 'lhand', 'rhand', 'face'):
            record[f'post/{i}/{name}_bbox'] /= extent.repeat(2)
        record[f'post/{i}/smplx_joint_proj'] /= extent
    return {name: value.detach().cpu() for name, value in record.items()}


def normalized(oracle: Oracle, images: Images, prefix: str) -> None:
    """Divide the oracle's pixels by the size of the image."""
    for i, (height, width) in enumerate(images.sizes):
        for name in ('body', 'lhand', 'rhand', 'face'):
            oracle[f'{prefix}{i}/{name}_bbox'][:] /= [width, height] * 2
        oracle[f'{prefix}{i}/smplx_joint_proj'][:] /= [width, height]


def check(oracle: Oracle, ours: Mapping[str, Tensor], small: bool) -> None:
    wanted = {name for name in oracle if not NOT_COMPUTED.fullmatch(name)}
    assert not wanted - set(ours)
    wrong = {}
    for name in sorted(wanted):
        difference = oracle.difference(name, ours[name])
        if not difference <= tolerance(name, small):
            wrong[name] = difference
    assert not wrong


@pytest.mark.parametrize('device', DEVICES)
def test_small_double(device, data_dir, make_oracle_model) -> None:
    """Every tensor of the float64 set, from the backbone to the persons."""
    oracle = Oracle(data_dir / 'oracle/small_forward_f64.npz')
    normalized(oracle, SMALL, 'post/')
    model = make_oracle_model(small=True, dtype=torch.float64).to(device)
    with double_precision_constants():
        ours = everything(model, SMALL, torch.float64, device)
    check(oracle, ours, small=True)


@pytest.mark.parametrize('case', FULL)
@pytest.mark.slow
@pytest.mark.skipif(not ORACLE_DIR, reason='AIOS_ORACLE_DIR is not set')
def test_full_float(case, make_oracle_model) -> None:
    """Every tensor of the full-size float32 cases."""
    folder = Path(ORACLE_DIR)
    ours = everything(make_oracle_model(), FULL[case], torch.float32)
    oracle = Oracle(folder / f'forward_{case}.npz')
    check(oracle, in_order_of(oracle, ours), small=False)
    post = Oracle(folder / f'postprocess_{case}.npz')
    normalized(post, FULL[case], 'infer/')
    for name in post:
        field = name.replace('infer', 'post')
        if name.startswith('infer') and not NOT_COMPUTED.fullmatch(field):
            difference = post.difference(name, ours[field])
            assert difference <= tolerance(field, False), name
