# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Comparison of our network with the original: names and recordings.

``tests/data/oracle`` contains tensors of the original implementation, computed
on weights, images and a body model that are hashes of names. Here our model
gets the same inputs, and its tensors are recorded under the original names.
"""

# Long because of the table of names.

from __future__ import annotations

import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet.models.layers.positional_encoding as mmdet_positions
import mmdet.models.layers.transformer.deformable_detr_layers as mmdet_layers
import mmdet.models.layers.transformer.utils as mmdet_utils
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from oracle_weights import image
from posed_bodies import pose_bodies
from torch import Tensor

from aios.models import AiOS
from aios.models.heads import LayerOutputs, NetworkOutputs
from aios.models.layers import DenoisingNoise, DenoisingQueryGenerator
from aios.models.layers.grids import level_box_logits
from aios.structures import (
    TOKEN_LAYOUTS,
    matrix_to_axis_angle,
)

BOXES = {
    'body_box': 'pred_boxes',
    'left_hand_box': 'pred_lhand_boxes',
    'right_hand_box': 'pred_rhand_boxes',
    'face_box': 'pred_face_boxes',
}
POINTS = {
    'body_keypoints': 'pred_keypoints',
    'left_hand_keypoints': 'pred_lhand_keypoints',
    'right_hand_keypoints': 'pred_rhand_keypoints',
    'face_keypoints': 'pred_face_keypoints',
}
SMPLX = {
    'body_pose': 'pred_smpl_pose',
    'left_hand_pose': 'pred_smpl_lhand_pose',
    'right_hand_pose': 'pred_smpl_rhand_pose',
    'jaw_pose': 'pred_smpl_jaw_pose',
    'betas': 'pred_smpl_beta',
    'expression': 'pred_smpl_expr',
    'camera': 'pred_smpl_cam',
}
POST = {
    'scores': 'scores',
    'labels': 'labels',
    'bboxes': 'body_bbox',
    'lhand_bboxes': 'lhand_bbox',
    'rhand_bboxes': 'rhand_bbox',
    'face_bboxes': 'face_bbox',
    'smplx_global_orient': 'smplx_root_pose',
    'smplx_body_pose': 'smplx_body_pose',
    'smplx_left_hand_pose': 'smplx_lhand_pose',
    'smplx_right_hand_pose': 'smplx_rhand_pose',
    'smplx_jaw_pose': 'smplx_jaw_pose',
    'smplx_betas': 'smplx_shape',
    'smplx_expression': 'smplx_expr',
    'smplx_transl': 'cam_trans',
    'joints3d': 'smpl_kp3d',
    'vertices': 'smpl_verts',
    'joints2d': 'smplx_joint_proj',
}


class Oracle(Mapping[str, np.ndarray]):
    """Arrays of an oracle file; large ones are stored in part.

    Args:
        path: The ``.npz`` file.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        self._arrays = {
            name: array
            for name, array in arrays.items()
            if not name.endswith(('/stride', '/shape', '/stats', '/crc32'))
        }
        self._strides = {
            name: int(arrays[name + '/stride'])
            for name in self._arrays
            if name + '/stride' in arrays
        }
        self._stats = {
            name: arrays[name + '/stats']
            for name in self._arrays
            if name + '/stats' in arrays
        }

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def difference(self, name: str, ours: Tensor | np.ndarray) -> float:
        """Largest absolute difference of an array from the oracle's."""
        ours = np.asarray(ours, np.float64)
        if name in self._stats:
            self._check_stats(name, ours)
        if name in self._strides:
            ours = ours.reshape(-1)[:: self._strides[name]]
        theirs = self[name].astype(np.float64)
        assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
        infinite = np.isinf(theirs)
        assert np.array_equal(infinite, np.isinf(ours)), name
        difference = np.abs(ours[~infinite] - theirs[~infinite])
        return float(difference.max(initial=0))

    def _check_stats(self, name: str, ours: np.ndarray) -> None:
        """Mean, deviation, sum and norm see the elements left out."""
        if not np.isfinite(self._stats[name]).all():
            return
        mean, std, *_, norm = self._stats[name]
        theirs = np.array([mean, std, norm / np.sqrt(ours.size)])
        mine = np.array(
            [ours.mean(), ours.std(), np.sqrt(np.square(ours).mean())]
        )
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5)


@dataclass(frozen=True)
class Images:
    """The images of a case of the oracle.

    Args:
        tag: What their names contain.
        sizes: ``(height, width)`` of each.
        padded: ``(height, width)`` of the batch.
    """

    tag: str
    sizes: Sequence[tuple[int, int]]
    padded: tuple[int, int]

    def tensor(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """``(B, 3, height, width)``."""
        batch = torch.zeros(len(self.sizes), 3, *self.padded, dtype=dtype)
        for i, (height, width) in enumerate(self.sizes):
            pixels = image(f'oracle.image.{self.tag}.{i}', 3, height, width)
            batch[i, :, :height, :width] = torch.from_numpy(pixels)
        return batch

    def samples(self) -> list[DetDataSample]:
        """Data samples without ground truth."""
        return [
            DetDataSample(
                metainfo=dict(
                    img_shape=size,
                    ori_shape=size,
                    batch_input_shape=self.padded,
                )
            )
            for size in self.sizes
        ]


SMALL = Images('S49', [(128, 160), (112, 128)], (128, 160))
FULL = {
    'A': Images('A', [(256, 320), (224, 288)], (256, 320)),
    'B': Images('B', [(288, 224), (240, 256)], (288, 256)),
}
# Recordings of FULL are too large to be committed.
ORACLE_DIR = os.environ.get('AIOS_ORACLE_DIR')


@contextmanager
def double_precision_constants() -> Iterator[None]:
    """Let mmdet compute positions in float64, as the oracle did.

    Its positional encodings and reference points name ``torch.float32``,
    also in a model of doubles, and so would limit the comparison to 1e-7.
    """
    double = types.ModuleType('torch')
    double.__dict__.update(torch.__dict__, float32=torch.float64)
    modules = mmdet_positions, mmdet_layers, mmdet_utils
    for module in modules:
        module.torch = double
    try:
        yield
    finally:
        for module in modules:
            module.torch = torch


@torch.no_grad()
def record_forward(
    model: AiOS, batch: Tensor, samples: list[DetDataSample]
) -> tuple[dict[str, Tensor], NetworkOutputs]:
    """Run a model in ``mode='tensor'`` and record its internal tensors.

    Returns:
        Tensors by the oracle's names, and the outputs.
    """
    record: dict[str, Tensor] = {}
    raw: dict[str, Any] = {}
    handles = [
        *_watch_images(model, record, raw),
        *_watch_decoder(model, record, raw),
    ]
    try:
        outputs = model(batch, samples, mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    record |= _encoder_record(model, raw, outputs)
    record |= _decoder_record(model, raw)
    return record, outputs


def _watch_images(
    model: AiOS, record: dict[str, Tensor], raw: dict[str, Any]
) -> Iterator[Any]:
    def levels(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            record.update({f'{name}/{i}': x for i, x in enumerate(output)})

        return hook

    def keep(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            raw.setdefault(name, []).append(output)

        return hook

    def encoder_input(module: Any, args: Any, kwargs: Any) -> None:
        raw['encoder'] = kwargs

    def layer_input(module: Any, args: Any, kwargs: Any) -> None:
        record['encoder/reference_points'] = kwargs['reference_points']

    def memory_input(module: Any, args: Any) -> None:
        record['two_stage/memory_masked'] = args[0]

    yield model.backbone.register_forward_hook(levels('backbone'))
    yield model.neck.register_forward_hook(levels('src'))
    yield model.positional_encoding.register_forward_hook(keep('pos'))
    yield model.encoder.register_forward_pre_hook(
        encoder_input, with_kwargs=True
    )
    yield model.encoder.layers[0].register_forward_pre_hook(
        layer_input, with_kwargs=True
    )
    for layer in model.encoder.layers:
        yield layer.register_forward_hook(keep('encoder_layers'))
    yield model.memory_trans_fc.register_forward_pre_hook(memory_input)
    yield model.memory_trans_norm.register_forward_hook(keep('output_memory'))
    yield model.bbox_head.encoder_cls.register_forward_hook(keep('logits'))


def _watch_decoder(
    model: AiOS, record: dict[str, Tensor], raw: dict[str, Any]
) -> Iterator[Any]:
    def layer(index: int) -> Any:
        def hook(module: Any, args: Any, output: Tensor) -> None:
            record[f'decoder/query_pos{index}'] = args[1].transpose(0, 1)
            record[f'decoder/layer{index}_out'] = output.transpose(0, 1)

        return hook

    def states(module: Any, args: Any, output: Any) -> None:
        raw['states'] = output
        for index, state in enumerate(output):
            record[f'decoder/hs{index}'] = state.hidden.flatten(1, 2)
            references = state.references.flatten(1, 2)
            record[f'decoder/reference{index}'] = references

    for index, module in enumerate(model.decoder.layers):
        yield module.register_forward_hook(layer(index))
    yield model.decoder.register_forward_hook(states)


def _encoder_record(
    model: AiOS, raw: dict[str, Any], outputs: NetworkOutputs
) -> dict[str, Tensor]:
    inputs = raw['encoder']
    (memory,), (logits,) = raw['output_memory'], raw['logits']
    count = outputs.encoder.logits.shape[1]
    scores, index = logits.max(-1).values.topk(count, dim=1)

    def take(x: Tensor) -> Tensor:
        return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))

    proposals, _ = level_box_logits(
        inputs['spatial_shapes'],
        inputs['valid_ratios'],
        inputs['key_padding_mask'],
    )
    record = {
        'valid_ratios': inputs['valid_ratios'],
        'encoder/memory': raw['encoder_layers'][-1],
        'two_stage/output_memory': memory,
        'two_stage/class_logits': logits,
        'two_stage/proposals_unsigmoid': proposals,
        'two_stage/bbox_delta': model.bbox_head.encoder_box(memory),
        'two_stage/topk_index': index,
        'two_stage/topk_value': scores,
        'two_stage/topk_min_gap': -scores.diff(dim=1).amax(1),
        'two_stage/init_box_proposal': take(proposals).sigmoid(),
        'two_stage/hs_enc': take(memory)[None],
        'two_stage/ref_enc': outputs.encoder.boxes[None],
    }
    sizes = [height * width for height, width in inputs['spatial_shapes']]
    masks = inputs['key_padding_mask'].split(sizes, dim=1)
    for i, shape in enumerate(inputs['spatial_shapes']):
        record[f'mask/{i}'] = masks[i].unflatten(1, shape)
        record[f'pos/{i}'] = raw['pos'][i]
    for i, layer in enumerate(raw['encoder_layers']):
        record[f'encoder/layer{i}'] = layer
    return record


def _decoder_record(model: AiOS, raw: dict[str, Any]) -> dict[str, Tensor]:
    states = raw['states']
    record = {}
    last = len(states) - 1
    for number, name in ((2, 'body_refinement'), (3, 'whole_body')):
        layout = TOKEN_LAYOUTS[name]
        allowed = layout.attention_allowed(states[last].hidden.shape[1])
        record[f'attn_mask{number}/count'] = torch.tensor((~allowed).sum())
        record[f'attn_mask{number}/packed'] = torch.from_numpy(
            np.packbits(~allowed, axis=1)
        )
    persons = states[2].persons
    record['decoder/topk_index'] = persons.transpose(0, 1)
    return record


def in_order_of(
    oracle: Oracle, ours: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Put candidates of the first stage in the order of the oracle.

    Neighboring scores of the 900 candidates are as close as 4e-6. Where
    rounding swaps two of them the tensors of the first stage are permuted,
    and nothing else changes.
    """
    index = ours['two_stage/topk_index']
    theirs = torch.from_numpy(oracle['two_stage/topk_index']).to(index)
    swapped = (index != theirs).float().mean()
    assert torch.equal(index.sort().values, theirs.sort().values)
    assert swapped < 0.01
    # place[b, i]: where our candidates have the oracle's i-th.
    place = (index[:, None] == theirs[:, :, None]).int().argmax(-1)
    ordered = dict(ours)
    for name, value in ours.items():
        if re.fullmatch(
            r'(aux[01]|interm)/.*|decoder/(hs|reference)[01]'
            r'|two_stage/(topk_index|topk_value|init_box_proposal)',
            name,
        ):
            ordered[name] = _permute(value, place)
        elif re.fullmatch(r'two_stage/(hs|ref)_enc', name):
            ordered[name] = _permute(value[0], place)[None]
        elif re.fullmatch(r'decoder/(query_pos[01]|layer[01]_out)', name):
            value = value.transpose(0, 1)
            ordered[name] = _permute(value, place).transpose(0, 1)
    persons = ours['decoder/topk_index'].transpose(0, 1)
    persons = place.argsort(1).gather(1, persons)
    ordered['decoder/topk_index'] = persons.transpose(0, 1)
    return ordered


def _permute(value: Tensor, place: Tensor) -> Tensor:
    place = place.reshape(*place.shape, *[1] * (value.ndim - 2))
    return value.gather(1, place.expand(-1, -1, *value.shape[2:]))


def last_refinement(model: AiOS, record: Mapping[str, Tensor]) -> Tensor:
    """References after the last layer, which the network does not need."""
    layout = model.decoder.stages[-1].layout
    last = model.decoder.num_layers - 1
    shape = -1, len(layout)
    content = record[f'decoder/layer{last}_out'].transpose(0, 1)
    references = record[f'decoder/reference{last}']
    return model.bbox_head.branches.refine(
        last,
        layout,
        content.unflatten(1, shape),
        references.unflatten(1, shape),
    ).flatten(1, 2)


def person_scores(model: AiOS, record: Mapping[str, Tensor]) -> Tensor:
    """Scores ``(P, B)`` of the persons that leave the first stage."""
    last = model.decoder.stages[0].last_layer
    content = record[f'decoder/layer{last}_out']
    scores = model.bbox_head.cls_branches[last](content).max(-1).values
    return scores.gather(0, record['decoder/topk_index'])


def encoder_outputs(outputs: NetworkOutputs) -> dict[str, Tensor]:
    """Proposals of the encoder by the oracle's names."""
    return {
        'interm/pred_logits': outputs.encoder.logits,
        'interm/pred_boxes': outputs.encoder.boxes,
    }


def layer_outputs(
    model: AiOS, outputs: LayerOutputs, joint_set: str, vertices: bool = False
) -> dict[str, Tensor]:
    """Predictions of a layer by the oracle's names, without prefix."""
    record = {'pred_logits': outputs.logits}
    for part, boxes in outputs.boxes.items():
        record[BOXES[part]] = boxes
    for part, points in outputs.points.items():
        # The original's visibility is the sigmoid of a constant one.
        visible = torch.ones_like(points[..., 0]).sigmoid()
        record[POINTS[part]] = torch.cat((points.flatten(2), visible), -1)
    if outputs.dn_logits is not None:
        record['dn_class_pred'] = outputs.dn_logits
        record['dn_bbox_pred'] = outputs.dn_boxes
    if outputs.smplx is None:
        return record
    for field, name in SMPLX.items():
        record[name] = getattr(outputs.smplx, field)
    batch_shape = outputs.logits.shape[:2]
    body = pose_bodies(
        model.bbox_head,
        outputs.smplx.map(lambda x: x.flatten(0, 1)),
        outputs.layout.name,
        joint_set,
        return_vertices=vertices,
    )
    record['pred_smpl_kp3d'] = body.joints.unflatten(0, batch_shape)
    if vertices:
        poses = [
            getattr(outputs.smplx, field)
            for field in (
                'body_pose',
                'left_hand_pose',
                'right_hand_pose',
                'jaw_pose',
            )
        ]
        full_pose = matrix_to_axis_angle(torch.cat(poses, dim=2))
        record['pred_smpl_fullpose'] = full_pose.flatten(2)
        record['pred_smpl_verts'] = body.vertices.unflatten(0, batch_shape)
        record['pred_smpl_verts_b0q0'] = body.vertices[0]
    return record


def post_processed(persons: InstanceData) -> dict[str, Tensor]:
    """Results of ``predict`` by the oracle's names, without prefix."""
    return {name: persons[field] for field, name in POST.items()}


class OracleNoise:
    """The random draws of a training run of the original.

    Args:
        oracle: Has them in the order of the calls.
        prefix: What their names begin with.
    """

    def __init__(self, oracle: Oracle, prefix: str = 'dn/') -> None:
        self.oracle = oracle
        names = sorted(x for x in oracle if x.startswith(prefix + 'draw/'))
        self.draws = [(x.split('_', 1)[1], oracle[x]) for x in names]

    def _next(self, kind: str) -> Tensor:
        name, draw = self.draws.pop(0)
        assert name == kind
        return torch.from_numpy(draw)

    def __call__(
        self, generator: DenoisingQueryGenerator, counts: list[int]
    ) -> DenoisingNoise:
        """Stand in for ``DenoisingQueryGenerator.draw_noise``."""
        number = generator.num_queries
        persons, random_boxes = [], torch.zeros(len(counts), number, 4)
        for i, count in enumerate(counts):
            if not count:
                random_boxes[i] = self._next('rand')
                self._next('rand')  # keypoints, which nobody reads
                persons.append(torch.zeros(number, dtype=torch.int64))
                continue
            every = torch.arange(count).repeat(number // count)
            persons.append(torch.cat((every, self._next('randint'))))
        chance = self._next('rand_like')
        labels = torch.zeros(chance.shape, dtype=torch.int64)
        labels[chance < generator.label_noise_ratio] = self._next(
            'randint_like'
        )
        dtype = generator.label_embedding.weight.dtype
        return DenoisingNoise(
            persons=persons,
            random_boxes=random_boxes.to(dtype),
            label_chance=chance,
            labels=labels,
            box_noise=self._next('rand_like').to(dtype),
        )
