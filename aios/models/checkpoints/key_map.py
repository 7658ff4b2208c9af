# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Table of official tensor names and ours.

A rule pairs a prefix of an official name with one of ours; ``*`` stands for a
common index, and the rest of the name is the same. The first rule that
matches is used, in both directions.

The published files have two or more names for 300 tensors, because its decoder
lists the modules of its heads and three lists repeat one module:
:func:`canonical_name` returns one name for all of them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

_FEED_FORWARD = [
    # official, ours
    ('linear1.', 'ffn.layers.0.0.'),
    ('linear2.', 'ffn.layers.1.'),
]
_ENCODER_LAYER = [
    ('self_attn.', 'self_attn.'),
    ('norm1.', 'norms.0.'),
    ('norm2.', 'norms.1.'),
    *_FEED_FORWARD,
]
# The official norms are not numbered in the order in which they are applied.
_DECODER_LAYER = [
    ('self_attn.', 'self_attn.'),
    ('norm2.', 'norms.0.'),
    ('cross_attn.', 'cross_attn.'),
    ('norm1.', 'norms.1.'),
    *_FEED_FORWARD,
    ('norm3.', 'norms.2.'),
]
# Learned queries of new tokens: content, size, ours. Expansion 0 adds tokens
# to bodies, expansion 1 to hands and faces.
_PART_QUERIES = [
    ('keypoint_embed', 'hw', '0.body_keypoints'),
    ('lhand_box_embed', 'hw_lhand_bbox', '0.left_hand_box'),
    ('rhand_box_embed', 'hw_rhand_bbox', '0.right_hand_box'),
    ('face_box_embed', 'hw_face_bbox', '0.face_box'),
    ('lhand_keypoint_embed', 'hw_lhand_kps', '1.left_hand_keypoints'),
    ('rhand_keypoint_embed', 'hw_rhand_kps', '1.right_hand_keypoints'),
    ('face_keypoint_embed', 'hw_face_kps', '1.face_keypoints'),
]
# Branches: center, size, index of the center MLP of new tokens, ours.
_BOX_BRANCHES = [
    ('bbox_hand_embed', 'bbox_hand_hw_embed', 4, 'hand_box'),
    ('bbox_face_embed', 'bbox_face_hw_embed', 4, 'face_box'),
]
# Here all layers share the module of the size.
_POINT_BRANCHES = [
    ('pose_embed', 'pose_hw_embed', 4, 'body_keypoints'),
    ('pose_hand_embed', 'pose_hand_hw_embed', 2, 'hand_keypoints'),
    ('pose_face_embed', 'pose_face_hw_embed', 2, 'face_keypoints'),
]
_SMPLX_HEADS = [
    ('smpl_pose_embed', 'pose'),
    ('smpl_beta_embed', 'betas'),
    ('smpl_cam_embed', 'camera'),
    ('smpl_hand_pose_embed', 'hand_pose'),
    ('smpl_expr_embed', 'expression'),
    ('smpl_jaw_embed', 'jaw'),
]
# Lists of one repeated module, with their length.
_REPEATED = {
    'pose_hw_embed': 4,
    'pose_hand_hw_embed': 2,
    'pose_face_hw_embed': 2,
}
# Lists of the head that are also attributes of the official decoder.
_IN_DECODER = (
    'class_embed',
    'bbox_embed',
    *(name for row in _BOX_BRANCHES + _POINT_BRANCHES for name in row[:2]),
)


@dataclass(frozen=True)
class Rule:
    """Prefix of official names and of ours.

    Args:
        official: Such as ``'transformer.encoder.layers.*.norm1.'``.
        ours: Such as ``'encoder.layers.*.norms.0.'``.
    """

    official: str
    ours: str

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        return _compile(self.official), _compile(self.ours)

    def to_ours(self, name: str) -> str | None:
        """Our name, or ``None`` if the rule does not match."""
        return _translate(name, self._patterns[0], self.ours)

    def to_official(self, name: str) -> str | None:
        """The official name, or ``None`` if the rule does not match."""
        return _translate(name, self._patterns[1], self.official)


def _compile(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix).replace(r'\*', r'(\d+)') + '(.*)')


def _translate(name: str, pattern: re.Pattern[str], prefix: str) -> str | None:
    match = pattern.fullmatch(name)
    if match is None:
        return None
    *indices, rest = match.groups()
    for index in indices:
        prefix = prefix.replace('*', index, 1)
    return prefix + rest


def _rules() -> Iterable[tuple[str, str]]:
    yield 'backbone.0.body.', 'backbone.'
    for level in range(3):
        yield f'input_proj.{level}.0.', f'neck.convs.{level}.conv.'
        yield f'input_proj.{level}.1.', f'neck.convs.{level}.gn.'
    yield 'input_proj.3.0.', 'neck.extra_convs.0.conv.'
    yield 'input_proj.3.1.', 'neck.extra_convs.0.gn.'
    yield 'transformer.level_embed', 'level_embed'
    for module, parts in (
        ('encoder', _ENCODER_LAYER),
        ('decoder', _DECODER_LAYER),
    ):
        for official, ours in parts:
            prefix = f'{module}.layers.*.'
            yield f'transformer.{prefix}{official}', prefix + ours
    yield 'transformer.enc_output.', 'memory_trans_fc.'
    yield 'transformer.enc_output_norm.', 'memory_trans_norm.'
    yield 'transformer.enc_out_class_embed.', 'bbox_head.encoder_cls.'
    yield 'transformer.enc_out_bbox_embed.', 'bbox_head.encoder_box.'
    yield 'transformer.decoder.norm.', 'decoder.norm.'
    yield 'transformer.decoder.ref_point_head.', 'decoder.ref_point_head.'
    for content, size, ours in _PART_QUERIES:
        ours = f'decoder.expansions.{ours}'
        yield f'transformer.decoder.{content}.weight', f'{ours}.content'
        yield f'transformer.decoder.{size}.weight', f'{ours}.size'
    yield 'class_embed.*.', 'bbox_head.cls_branches.*.'
    yield 'bbox_embed.*.', 'bbox_head.branches.body_box.xywh.*.'
    for center, size, expansion, ours in _BOX_BRANCHES + _POINT_BRANCHES:
        ours = f'bbox_head.branches.{ours}'
        yield f'{center}.{expansion}.', f'{ours}.expansion.'
        yield f'{center}.*.', f'{ours}.center.*.'
        if size in _REPEATED:
            yield f'{size}.0.', f'{ours}.size.'
        else:
            yield f'{size}.*.', f'{ours}.size.*.'
    for official, ours in _SMPLX_HEADS:
        yield f'{official}.*.', f'bbox_head.smplx.*.{ours}.'
    yield 'label_enc.weight', 'dn_query_generator.label_embedding.weight'


RULES = tuple(Rule(official, ours) for official, ours in _rules())
"""The table; specific rules precede general ones."""


def to_ours(name: str) -> str | None:
    """Our name of an official tensor, ``None`` if there is no rule.

    Args:
        name: Result of :func:`canonical_name`.
    """
    results = (rule.to_ours(name) for rule in RULES)
    return next((result for result in results if result is not None), None)


def to_official(name: str) -> str | None:
    """The official name of a tensor of ours, ``None`` if there is no rule."""
    results = (rule.to_official(name) for rule in RULES)
    return next((result for result in results if result is not None), None)


_DECODER_ALIAS = re.compile(
    rf'transformer\.decoder\.(({"|".join(_IN_DECODER)})\..*)'
)
_REPEATED_ALIAS = re.compile(rf'({"|".join(_REPEATED)})\.\d+\.(.*)')


def canonical_name(name: str) -> str:
    """Canonical official name of a tensor."""
    name = _DECODER_ALIAS.sub(r'\1', name)
    return _REPEATED_ALIAS.sub(r'\1.0.\2', name)


def aliases(name: str) -> list[str]:
    """All official names of a tensor, the canonical one first."""
    names = [name]
    match = _REPEATED_ALIAS.fullmatch(name)
    if match:
        module, rest = match.groups()
        names = [f'{module}.{i}.{rest}' for i in range(_REPEATED[module])]
    if name.split('.')[0] in _IN_DECODER:
        names += [f'transformer.decoder.{alias}' for alias in names]
    return names


def is_body_model(name: str) -> bool:
    """Whether an official tensor belongs to the SMPL-X body model.

    These are licensed data, not weights.
    """
    return name.startswith('body_model.')


@dataclass(frozen=True)
class OfficialTensor:
    """A tensor of the published AiOS.

    Args:
        shape: Its shape.
        in_edpose: Whether ED-Pose (17 keypoints, ResNet-50), which
            initializes the training of AiOS, also has it.
    """

    shape: tuple[int, ...]
    in_edpose: bool


@cache
def official_tensors() -> dict[str, OfficialTensor]:
    """The 927 tensors of the published AiOS by canonical name."""
    file = resources.files(__package__) / 'official_tensors.tsv'
    with file.open(encoding='utf-8') as stream:
        return {
            row['name']: OfficialTensor(
                tuple(int(size) for size in row['shape'].split('x')),
                row['in_edpose'] == '1',
            )
            for row in csv.DictReader(stream, delimiter='\t')
        }
