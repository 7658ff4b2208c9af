# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Branches that predict boxes and keypoints from tokens.

A branch has a small MLP per decoder layer.  Parts of the same kind share a
*family* of branches: left and right hands differ only by their queries.

Legend: ``B`` images, ``P`` persons, ``T`` tokens of a person, ``K`` points of
a part, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import torch
from mmdet.models.layers import MLP
from mmengine.model import BaseModule, ModuleList, constant_init
from torch import Tensor, nn

from aios.structures import TokenLayout

from .query_expansion import add_in_logit_space
from .stages import Stage
from .token_parts import split_parts

PART_FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        'body_box': 'body_box',
        'body_keypoints': 'body_keypoints',
        'left_hand_box': 'hand_box',
        'right_hand_box': 'hand_box',
        'face_box': 'face_box',
        'left_hand_keypoints': 'hand_keypoints',
        'right_hand_keypoints': 'hand_keypoints',
        'face_keypoints': 'face_keypoints',
    }
)
"""Family of the branches of each part."""


def zero_init_last(mlp: MLP) -> None:
    """Initialize the last layer of an MLP to zero."""
    constant_init(mlp.layers[-1], 0)


class _Branch(BaseModule):
    """MLPs of one family of parts.

    Args:
        embed_dims: Width of a token.
        num_layers: Number of decoder layers in which the family exists.
    """

    def __init__(self, embed_dims: int, num_layers: int) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.num_layers = num_layers

    def _mlp(self, num_outputs: int) -> MLP:
        return MLP(self.embed_dims, self.embed_dims, num_outputs, 3)

    def _mlps(self, num_outputs: int) -> ModuleList:
        return ModuleList(
            self._mlp(num_outputs) for _ in range(self.num_layers)
        )

    def _zero_mlps(self) -> Iterable[MLP]:
        """MLPs whose output is initialized to zero."""
        raise NotImplementedError

    def init_weights(self) -> None:
        """Initialize boxes and centers of points at their references."""
        super().init_weights()
        for mlp in self._zero_mlps():
            zero_init_last(mlp)

    def forward(self, content: Tensor, index: int) -> Tensor:
        """Logit offsets ``(..., 4)`` of center and size.

        Args:
            content: ``(..., C)``.
            index: Layer, counted from the first with this family.
        """
        raise NotImplementedError

    def move_center(self, content: Tensor, index: int) -> Tensor:
        """Logit offsets ``(..., 2)`` of the center alone."""
        return self(content, index)[..., :2]


class BodyBranch(_Branch):
    """Boxes of persons: one MLP for center and size."""

    def __init__(self, embed_dims: int, num_layers: int) -> None:
        super().__init__(embed_dims, num_layers)
        self.xywh = self._mlps(4)

    def _zero_mlps(self) -> Iterable[MLP]:
        return self.xywh

    def forward(self, content: Tensor, index: int) -> Tensor:
        """See the base class."""
        return self.xywh[index](content)


class _GrownBranch(_Branch):
    """Parts that are expanded from a box, with MLPs for center and size.

    Attributes:
        center: MLP of each layer.
        expansion: MLP for the centers of new tokens, see
            :class:`~aios.models.layers.QueryExpansion`.
    """

    def __init__(self, embed_dims: int, num_layers: int) -> None:
        super().__init__(embed_dims, num_layers)
        self.center = self._mlps(2)
        self.expansion = self._mlp(2)

    def _zero_mlps(self) -> Iterable[MLP]:
        return *self.center, self.expansion

    def forward(self, content: Tensor, index: int) -> Tensor:
        """See the base class."""
        center = self.move_center(content, index)
        return torch.cat((center, self.change_size(content, index)), dim=-1)

    def move_center(self, content: Tensor, index: int) -> Tensor:
        """See the base class."""
        return self.center[index](content)

    def change_size(self, content: Tensor, index: int) -> Tensor:
        """Logit offsets ``(..., 2)`` of width and height."""
        raise NotImplementedError


class PointBranch(_GrownBranch):
    """Keypoints and the size of the box around each.

    NOTE: The size only determines where the next layer samples; it has no
    gradient and all layers share one MLP, as published.  As it affects
    results, it is part of checkpoints.

    Attributes:
        size: MLP of all layers.
    """

    def __init__(self, embed_dims: int, num_layers: int) -> None:
        super().__init__(embed_dims, num_layers)
        self.size = self._mlp(2)
        if num_layers == 1:
            # Unused, so that DDP would wait for its gradient.
            self.size.requires_grad_(False)

    def change_size(self, content: Tensor, index: int) -> Tensor:
        """See the base class."""
        return self.size(content)


class BoxBranch(_GrownBranch):
    """Boxes of hands and faces.

    Attributes:
        size: MLP of each layer.
    """

    def __init__(self, embed_dims: int, num_layers: int) -> None:
        super().__init__(embed_dims, num_layers)
        self.size = self._mlps(2)

    def _zero_mlps(self) -> Iterable[MLP]:
        return *super()._zero_mlps(), *self.size

    def change_size(self, content: Tensor, index: int) -> Tensor:
        """See the base class."""
        return self.size[index](content)


class DetectionBranches(BaseModule):
    """Branches of all parts, addressed by part and decoder layer.

    Args:
        stages: Stages of the decoder.
        embed_dims: Width of a token.
    """

    def __init__(self, stages: Sequence[Stage], embed_dims: int) -> None:
        super().__init__()
        self.num_layers = stages[-1].last_layer + 1
        self.first_layer: dict[str, int] = {}
        for stage in stages:
            for part in stage.layout.parts:
                family = PART_FAMILIES[part.name]
                if family in self.first_layer:
                    continue
                self.first_layer[family] = stage.first_layer
                if part.parent is None:
                    kind = BodyBranch
                else:
                    kind = BoxBranch if part.is_box else PointBranch
                branch = kind(embed_dims, self.num_layers - stage.first_layer)
                self.add_module(family, branch)
        self._grown_parts = tuple(
            part.name
            for part in stages[-1].layout.parts
            if part.parent is not None
        )

    @property
    def expansions(self) -> dict[str, nn.Module]:
        """Module for the centers of each part that is expanded."""
        return {
            part: self.get_submodule(f'{PART_FAMILIES[part]}.expansion')
            for part in self._grown_parts
        }

    def refine_bodies(
        self, layer: int, content: Tensor, boxes: Tensor
    ) -> Tensor:
        """Move boxes of single-token persons, e.g. denoising tokens.

        Args:
            layer: Decoder layer.
            content: ``(..., C)``.
            boxes: ``(..., 4)`` cxcywh in [0, 1].

        Returns:
            ``(..., 4)`` cxcywh in (0, 1).
        """
        return add_in_logit_space(
            boxes, self._offsets(layer, 'body_box', content)
        )

    def refine(
        self,
        layer: int,
        layout: TokenLayout,
        content: Tensor,
        boxes: Tensor,
    ) -> Tensor:
        """Move the boxes of all tokens, keypoints included.

        Args:
            layer: Decoder layer.
            layout: Order of the tokens.
            content: ``(B, P, T, C)``.
            boxes: ``(B, P, T, 4)`` cxcywh in [0, 1].

        Returns:
            ``(B, P, T, 4)`` cxcywh in (0, 1).
        """
        offsets = [
            self._offsets(layer, part, tokens)
            for part, tokens in split_parts(content, layout).items()
        ]
        return add_in_logit_space(boxes, torch.cat(offsets, dim=2))

    def predict(
        self,
        layer: int,
        layout: TokenLayout,
        content: Tensor,
        boxes: Tensor,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Boxes and points of the parts; arguments as :meth:`refine`.

        Returns:
            Part name to boxes ``(B, P, 4)``, and to points ``(B, P, K, 2)``.
        """
        references = split_parts(boxes, layout)
        part_boxes, points = {}, {}
        for part, tokens in split_parts(content, layout).items():
            branch, index = self._branch(layer, part)
            if layout.part(part).is_box:
                offsets = branch(tokens, index)
                box = add_in_logit_space(references[part], offsets)
                part_boxes[part] = box.squeeze(2)
            else:
                offsets = branch.move_center(tokens, index)
                centers = references[part][..., :2]
                points[part] = add_in_logit_space(centers, offsets)
        return part_boxes, points

    def _offsets(self, layer: int, part: str, content: Tensor) -> Tensor:
        branch, index = self._branch(layer, part)
        return branch(content, index)

    def _branch(self, layer: int, part: str) -> tuple[_Branch, int]:
        """Branch of a part, and which of its MLPs belongs to a layer."""
        family = PART_FAMILIES[part]
        branch = cast(_Branch, self.get_submodule(family))
        return branch, layer - self.first_layer[family]
