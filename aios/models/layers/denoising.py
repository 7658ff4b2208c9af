# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Denoising queries (DN-DETR, Li et al., CVPR 2022, Sec. 4).

In training the decoder also gets noised ground-truth boxes, whose targets
need no matching.  Unlike those of DINO they are not contrastive, and their
number is fixed.

Legend: ``B`` images, ``D`` denoising queries, ``n`` persons of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import get_box_tensor
from mmengine.model import BaseModule
from torch import Tensor, nn

from aios.registry import MODELS
from aios.structures import xyxy_to_cxcywh
from aios.utils.tensors import tensor_like

from .query_expansion import INVERSE_SIGMOID_EPS


@dataclass(frozen=True)
class DenoisingQueries:
    """Denoising queries and their targets.

    Args:
        content: ``(B, D, C)``.
        boxes: ``(B, D, 4)`` noised, cxcywh in (0, 1).
        groups: ``(B, D)`` int64; queries attend to their own group only.
        target_labels: ``(B, D)`` int64; ``num_classes`` means background.
        target_boxes: ``(B, D, 4)`` cxcywh in [0, 1].
    """

    content: Tensor
    boxes: Tensor
    groups: Tensor
    target_labels: Tensor
    target_boxes: Tensor


@dataclass(frozen=True)
class DenoisingNoise:
    """All random numbers of a batch, so that tests can set them.

    Args:
        persons: For each image ``(D,)`` int64, the person of each query;
            ignored in images without persons.
        random_boxes: ``(B, D, 4)`` in [0, 1), cxcywh; replace the ground
            truth in images without persons.
        label_chance: ``(B, D)`` in [0, 1); labels below the noise ratio are
            replaced.
        labels: ``(B, D)`` int64, replacements.
        box_noise: ``(B, D, 4)`` in [0, 1).
    """

    persons: Sequence[Tensor]
    random_boxes: Tensor
    label_chance: Tensor
    labels: Tensor
    box_noise: Tensor


@MODELS.register_module()
class DenoisingQueryGenerator(BaseModule):
    """Generates denoising queries from ground truth.

    Args:
        embed_dims: Width of a query.
        num_classes: Number of classes of the detector.
        num_queries: ``D``.
        num_labels: Noised labels are among ``0 .. num_labels - 1``; the
            published label embedding has 100 entries.
        label_noise_ratio: Fraction of labels that are replaced.
        box_noise_scale: Scale of the noise; at 1 a center moves by up to
            half the box, and a side changes by up to its length.

    Raises:
        ValueError: If the label embedding lacks a class or the background.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_classes: int = 2,
        num_queries: int = 100,
        num_labels: int = 100,
        label_noise_ratio: float = 0.5,
        box_noise_scale: float = 0.4,
    ) -> None:
        super().__init__()
        if num_labels < num_classes:
            raise ValueError(
                f'num_labels must be at least num_classes ({num_classes}), '
                f'got {num_labels}'
            )
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.num_labels = num_labels
        self.label_noise_ratio = label_noise_ratio
        self.box_noise_scale = box_noise_scale
        self.label_embedding = nn.Embedding(num_labels + 1, embed_dims)

    def forward(
        self, batch_data_samples: Sequence[DetDataSample]
    ) -> DenoisingQueries:
        """Generate queries.

        Args:
            batch_data_samples: ``B`` samples with ``gt_instances`` (fields
                ``bboxes`` xyxy in pixels, ``labels``) and ``img_shape``.

        Returns:
            The same number of queries for every image, independent of the
            number of persons.
        """
        counts = [len(sample.gt_instances) for sample in batch_data_samples]
        noise = self.draw_noise(counts)
        clean = [
            self._clean(sample, persons, boxes)
            for sample, persons, boxes in zip(
                batch_data_samples,
                noise.persons,
                noise.random_boxes,
                strict=True,
            )
        ]
        labels, boxes = (torch.stack(x) for x in zip(*clean, strict=True))
        noised = torch.where(
            noise.label_chance < self.label_noise_ratio, noise.labels, labels
        )
        return DenoisingQueries(
            content=self.label_embedding(noised),
            boxes=self._noised_boxes(boxes, noise.box_noise),
            groups=self._groups(counts),
            target_labels=labels,
            target_boxes=boxes,
        )

    def draw_noise(self, counts: Sequence[int]) -> DenoisingNoise:
        """Draw the random numbers of a batch.

        Args:
            counts: Number of persons of each image.
        """
        weight = self.label_embedding.weight
        shape = (len(counts), self.num_queries)

        def uniform(*size: int) -> Tensor:
            return torch.rand(size, dtype=weight.dtype, device=weight.device)

        return DenoisingNoise(
            persons=[self._draw_persons(count) for count in counts],
            random_boxes=uniform(*shape, 4),
            label_chance=uniform(*shape),
            labels=torch.randint(self.num_labels, shape, device=weight.device),
            box_noise=uniform(*shape, 4),
        )

    def _draw_persons(self, count: int) -> Tensor:
        """Repeat each person equally; sample the rest of the queries."""
        device = self.label_embedding.weight.device
        if not count:
            return torch.zeros(
                self.num_queries, dtype=torch.int64, device=device
            )
        repeats, rest = divmod(self.num_queries, count)
        all_rows = torch.arange(count, device=device).repeat(repeats)
        chosen = torch.randint(count, (rest,), device=device)
        return torch.cat((all_rows, chosen))

    def _clean(
        self, sample: DetDataSample, persons: Tensor, random_boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Labels ``(D,)`` and normalized boxes ``(D, 4)`` before noise."""
        instances = sample.gt_instances
        if not len(instances):
            # As published: background, although the box is a target.
            return torch.full_like(persons, self.num_classes), random_boxes
        height, width = sample.img_shape[:2]
        boxes = get_box_tensor(instances.bboxes).to(random_boxes)
        extent = tensor_like((width, height, width, height), boxes)
        boxes = xyxy_to_cxcywh(boxes) / extent
        labels = instances.labels.to(persons.device)
        return labels[persons], boxes[persons]

    def _noised_boxes(self, boxes: Tensor, noise: Tensor) -> Tensor:
        size = boxes[..., 2:]
        reach = torch.cat((size / 2, size), dim=-1)
        noised = boxes + (2 * noise - 1) * reach * self.box_noise_scale
        return inverse_sigmoid(noised, eps=INVERSE_SIGMOID_EPS).sigmoid()

    def _groups(self, counts: Sequence[int]) -> Tensor:
        """Index of the copy of the ground truth each query belongs to."""
        device = self.label_embedding.weight.device
        queries = torch.arange(self.num_queries, device=device)
        # Without persons all queries form one group.
        return torch.stack(
            [queries // (count or self.num_queries) for count in counts]
        )
