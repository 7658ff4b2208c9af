# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Progressive decoder, from person boxes to whole bodies.

AiOS paper, Sec. 3.2: in the first stage a person is one box token; the best
candidates enter the second stage, which adds keypoints, hands and face, and
the third, which adds keypoints of hands and faces.

Legend: ``B`` images, ``P`` persons (candidates), ``T`` tokens of a person,
``D`` denoising tokens, ``L`` feature levels, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from mmdet.models.layers import MLP, coordinate_to_encoding
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from aios.registry import MODELS
from aios.structures import (
    TokenLayout,
    box_iou,
    cxcywh_to_xyxy,
    generalized_box_iou,
    suppress_overlaps,
)

from .branches import DetectionBranches
from .decoder_layer import Memory, ProgressiveDecoderLayer
from .denoising import DenoisingQueries
from .pose_prior import PoseHints, PoseMaps, PosePrior, Sightings
from .query_expansion import QueryExpansion
from .stages import Stage, read_stages

_PENALTY = 1e3  # subtracted from logits to rank candidates last


@dataclass(frozen=True)
class LayerState:
    """State after a decoder layer, the input of the head.

    Args:
        layout: Order of a person's tokens.
        hidden: ``(B, P, T, C)`` normalized content.
        references: ``(B, P, T, 4)`` *input* boxes of the layer, cxcywh; not
            detached, so that gradients reach the previous layer ("look
            forward twice", DINO, Sec. 3.5).
        persons: ``(B, P)`` int64, index of each person in the first stage;
            ``None`` in the first stage.
        dn_hidden: ``(B, D, C)``, if there are denoising tokens.
        dn_references: ``(B, D, 4)``.
        evidence: ``(B, P)`` of :class:`~aios.models.layers.PosePrior`, added
            to the logits of persons at inference.
        sightings: Keypoints of :class:`~aios.models.layers.PosePrior`.
    """

    layout: TokenLayout
    hidden: Tensor
    references: Tensor
    persons: Tensor | None = None
    dn_hidden: Tensor | None = None
    dn_references: Tensor | None = None
    evidence: Tensor | None = None
    sightings: Sightings | None = None


@dataclass(frozen=True)
class _Tokens:
    """Content and boxes of all tokens between layers."""

    content: Tensor  # (B, P, T, C)
    boxes: Tensor  # (B, P, T, 4)
    dn_content: Tensor | None = None  # (B, D, C)
    dn_boxes: Tensor | None = None  # (B, D, 4)

    @property
    def num_persons(self) -> int:
        return self.content.shape[1]

    def flat_content(self) -> Tensor:
        """``(B, P * T + D, C)``."""
        return _flatten(self.content, self.dn_content)

    def flat_boxes(self) -> Tensor:
        """``(B, P * T + D, 4)``."""
        return _flatten(self.boxes, self.dn_boxes)

    def with_content(self, flat: Tensor) -> _Tokens:
        """The same tokens with new content ``(B, P * T + D, C)``."""
        num_tokens = self.content.shape[1] * self.content.shape[2]
        content = flat[:, :num_tokens].unflatten(1, self.content.shape[1:3])
        dn_content = self.dn_content
        if dn_content is not None:
            dn_content = flat[:, num_tokens:]
        return replace(self, content=content, dn_content=dn_content)

    def detach_boxes(self) -> _Tokens:
        dn_boxes = self.dn_boxes
        return replace(
            self,
            boxes=self.boxes.detach(),
            dn_boxes=dn_boxes if dn_boxes is None else dn_boxes.detach(),
        )


def _flatten(tokens: Tensor, dn_tokens: Tensor | None) -> Tensor:
    flat = tokens.flatten(1, 2)
    return flat if dn_tokens is None else torch.cat((flat, dn_tokens), dim=1)


@MODELS.register_module()
class ProgressiveDecoder(BaseModule):
    """Decoder in stages, each with more tokens per person.

    Args:
        stages: See :func:`~aios.models.layers.read_stages`.
        num_persons: Number of candidates kept after the first stage.
        layer_cfg: Arguments of :class:`ProgressiveDecoderLayer`.
        num_cp: Number of layers, from the last (which has the most tokens),
            whose activations are recomputed in the backward pass to save
            memory.
        keep_overlapping: In training, always keep the candidates that overlap
            the persons of denoising queries best (no effect without
            ``dn_cfg``).  Not in the paper: if few candidates are kept, later
            stages would get no persons until scores are good.
        nms_iou_thr: Rank candidates whose box overlaps that of a better one
            by more than this after all others; negative to disable, as
            published.
        pose_prior: Arguments of :class:`~aios.models.layers.PosePrior`, for
            backbones whose last map is that of a pose network; ``None`` to
            disable, as published.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``stages`` are invalid or ``num_persons`` is not
            positive.

    Attributes:
        stages: The stages.
        num_layers: Number of layers of all stages.
        embed_dims: Width of a token.
    """

    def __init__(
        self,
        stages: Sequence[dict[str, Any]],
        num_persons: int,
        layer_cfg: dict[str, Any],
        num_cp: int = 0,
        keep_overlapping: bool = False,
        nms_iou_thr: float = -1.0,
        pose_prior: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_persons < 1:
            raise ValueError(
                f'num_persons must be positive, got {num_persons}'
            )
        self.num_cp = num_cp
        self.keep_overlapping = keep_overlapping
        self.nms_iou_thr = nms_iou_thr
        self.stages = read_stages(stages)
        self.num_persons = num_persons
        self.num_layers = self.stages[-1].last_layer + 1
        self.layers = ModuleList(
            ProgressiveDecoderLayer(**layer_cfg)
            for _ in range(self.num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims
        self.norm = nn.LayerNorm(self.embed_dims)
        self.ref_point_head = MLP(
            2 * self.embed_dims, self.embed_dims, self.embed_dims, 2
        )
        self.expansions = ModuleList(
            QueryExpansion(stage.layout, following.layout, self.embed_dims)
            for stage, following in pairwise(self.stages)
        )
        self.pose_prior = None
        if pose_prior is not None:
            self.pose_prior = PosePrior(self.embed_dims, **pose_prior)

    def forward(
        self,
        query: Tensor,
        reference_boxes: Tensor,
        memory: Memory,
        cls_branches: nn.ModuleList,
        branches: DetectionBranches,
        dn_queries: DenoisingQueries | None = None,
        max_candidates: int | None = None,
        pose_maps: PoseMaps | None = None,
    ) -> list[LayerState]:
        """Decode persons.

        Args:
            query: ``(B, P, C)`` content of the candidates.
            reference_boxes: ``(B, P, 4)`` their boxes, cxcywh in [0, 1].
            memory: The encoded image.
            cls_branches: Classifier of each layer.
            branches: Branches of the head that refine boxes.
            dn_queries: Denoising queries, in training.
            max_candidates: Number of candidates kept after the first stage
                if fewer than ``num_persons``.
            pose_maps: Input of ``pose_prior``.

        Returns:
            The state after each layer.
        """
        keep = min(self.num_persons, max_candidates or self.num_persons)
        tokens = _Tokens(query[:, :, None], reference_boxes[:, :, None])
        dn_groups = None
        if dn_queries is not None:
            dn_groups = dn_queries.groups
            tokens = replace(
                tokens,
                dn_content=dn_queries.content,
                dn_boxes=dn_queries.boxes,
            )
        persons: Tensor | None = None
        hints: PoseHints | None = None
        states = []
        for number, stage in enumerate(self.stages):
            for index in range(stage.first_layer, stage.last_layer + 1):
                inputs = tokens
                tokens = self._run_layer(
                    index, stage, tokens.detach_boxes(), memory, dn_groups
                )
                states.append(
                    self._state(stage, inputs, tokens, persons, hints)
                )
                if index < self.num_layers - 1:
                    tokens = self._refine(index, stage, tokens, branches)
            if stage is self.stages[-1]:
                break
            if number == 0:
                classifier = cls_branches[stage.last_layer]
                forced = None
                if self.keep_overlapping and self.training:
                    forced = _overlapping(tokens.boxes[:, :, 0], dn_queries)
                # NOTE: Unlike the supervised scores of the layer, these are
                # of any class and of content before its norm, as published.
                scores = classifier(tokens.content[:, :, 0]).amax(dim=-1)
                if self.pose_prior is not None and pose_maps is not None:
                    boxes = tokens.boxes[:, :, 0].detach()
                    reading = self.pose_prior.read(pose_maps, boxes)
                    scores = scores + self.pose_prior.logit(reading)
                tokens, persons = _best(
                    tokens, scores, keep, forced, self.nms_iou_thr
                )
                if self.pose_prior is not None and pose_maps is not None:
                    hints = PoseHints(
                        self.pose_prior, pose_maps, reading.take(persons)
                    )
            tokens = self._expand(number, tokens, branches, hints)
        return states

    def _run_layer(
        self,
        index: int,
        stage: Stage,
        tokens: _Tokens,
        memory: Memory,
        dn_groups: Tensor | None,
    ) -> _Tokens:
        ratios = torch.cat((memory.valid_ratios, memory.valid_ratios), -1)
        boxes = tokens.flat_boxes()[:, :, None] * ratios[:, None]
        arguments = (
            tokens.flat_content(),
            self._query_pos(boxes[:, :, 0]),
            boxes,
            memory,
            stage.layout,
            tokens.num_persons,
            dn_groups,
        )
        layer = self.layers[index]
        if self.training and self.num_layers - index <= self.num_cp:
            content = checkpoint(layer, *arguments, use_reentrant=False)
        else:
            content = layer(*arguments)
        return tokens.with_content(content)

    def _query_pos(self, boxes: Tensor) -> Tensor:
        """Positional queries ``(B, N, C)`` of boxes ``(B, N, 4)``."""
        # NOTE: Half the width for each of x, y, w, h, as published. DINO in
        # onedl-mmdetection 3.5.1 has twice that.
        encoding = coordinate_to_encoding(
            boxes, num_feats=self.embed_dims // 2
        )
        return self.ref_point_head(encoding)

    def _state(
        self,
        stage: Stage,
        inputs: _Tokens,
        tokens: _Tokens,
        persons: Tensor | None,
        hints: PoseHints | None,
    ) -> LayerState:
        dn_content = tokens.dn_content
        return LayerState(
            layout=stage.layout,
            hidden=self.norm(tokens.content),
            references=inputs.boxes,
            persons=persons,
            dn_hidden=None if dn_content is None else self.norm(dn_content),
            dn_references=inputs.dn_boxes,
            evidence=None if hints is None else hints.logit(),
            sightings=None if hints is None else hints.sightings,
        )

    def _refine(
        self,
        index: int,
        stage: Stage,
        tokens: _Tokens,
        branches: DetectionBranches,
    ) -> _Tokens:
        """Move the boxes, given content before its norm."""
        dn_content, dn_boxes = tokens.dn_content, tokens.dn_boxes
        if dn_content is not None and dn_boxes is not None:
            dn_boxes = branches.refine_bodies(index, dn_content, dn_boxes)
        boxes = branches.refine(
            index, stage.layout, tokens.content, tokens.boxes
        )
        return replace(tokens, boxes=boxes, dn_boxes=dn_boxes)

    def _expand(
        self,
        number: int,
        tokens: _Tokens,
        branches: DetectionBranches,
        hints: PoseHints | None,
    ) -> _Tokens:
        content = tokens.content
        if hints is not None and number == 0:
            content = content + hints.body()
        content, boxes = self.expansions[number](
            content, tokens.boxes, branches.expansions, hints
        )
        return replace(tokens, content=content, boxes=boxes)


@torch.no_grad()
def _overlapping(
    boxes: Tensor, dn_queries: DenoisingQueries | None
) -> Tensor | None:
    """Candidates ``(B, D)`` that overlap the targets of queries best.

    In images without persons these targets are random boxes.
    """
    if dn_queries is None:
        return None
    overlap = generalized_box_iou(
        cxcywh_to_xyxy(boxes)[:, :, None],
        cxcywh_to_xyxy(dn_queries.target_boxes)[:, None],
    )
    return overlap.argmax(dim=1)


@torch.no_grad()
def _copies(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Mask ``(B, P)`` of candidates that overlap a better one too much."""
    order = scores.argsort(dim=1, descending=True)
    index = order[..., None].expand(-1, -1, 4)
    corners = cxcywh_to_xyxy(boxes.gather(1, index))
    overlaps = box_iou(corners[:, :, None], corners[:, None]) > threshold
    kept = suppress_overlaps(
        overlaps, torch.ones_like(order, dtype=torch.bool)
    )
    return torch.ones_like(kept).scatter(1, order, ~kept)


def _best(
    tokens: _Tokens,
    scores: Tensor,
    count: int,
    forced_indices: Tensor | None = None,
    nms_iou_thr: float = -1.0,
) -> tuple[_Tokens, Tensor]:
    """Keep the ``count`` persons with the highest ``scores``, ``(B, P)``.

    Those of ``forced_indices``, ``(B, D)`` with repeats, are always kept.
    """
    if nms_iou_thr >= 0:
        copies = _copies(tokens.boxes[:, :, 0], scores, nms_iou_thr)
        scores = scores - _PENALTY * copies
    if forced_indices is not None:
        scores = scores.scatter(1, forced_indices, torch.inf)
    persons = scores.topk(min(count, tokens.num_persons), dim=1).indices

    def take(x: Tensor) -> Tensor:
        index = persons[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return x.gather(1, index)

    best = replace(
        tokens, content=take(tokens.content), boxes=take(tokens.boxes)
    )
    return best, persons
