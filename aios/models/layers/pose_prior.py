# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Keypoints of a bottom-up pose network as a prior of the decoder.

A backbone such as MoveNet was trained on real photographs to detect persons
and keypoints, in which it is better than a decoder trained on synthetic
images only.  Keypoints are initialized where the backbone detects them, and
candidates without detected keypoints get lower scores.

Legend: ``B`` images, ``P`` persons, ``K`` the 17 keypoints of COCO, ``S``
cells of the map, ``C`` channels.  Coordinates are x, y.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleDict, constant_init
from torch import Tensor, nn

from aios.structures import COCO_17
from aios.utils.tensors import at_least_float32, tensor_like

from .grids import cell_centers

NUM_KEYPOINTS = len(COCO_17)
POSE_CHANNELS = (NUM_KEYPOINTS, 1, 2 * NUM_KEYPOINTS, 2 * NUM_KEYPOINTS)
"""Heat of keypoints, heat of centers, and two kinds of offsets."""

# Parts that are initialized at a keypoint.
_ANCHORS = {
    'left_hand_box': COCO_17.names.index('left_wrist'),
    'right_hand_box': COCO_17.names.index('right_wrist'),
    'face_box': COCO_17.names.index('nose'),
}
_NUM_BEST = 6  # usually visible of half-occluded persons
_MIN_PROBABILITY = 1e-3
_NUM_EVIDENCE = 3
_SMALLEST = 1e-12
_BORDER = 0.02  # of the image; joints beyond the image are detected there


@dataclass(frozen=True)
class PoseMaps:
    """Maps of a pose network, flattened to cells.

    Args:
        heat: ``(B, K, S)`` probability of a keypoint in a cell.
        log_heat: ``(B, K, S)`` its logarithm.
        heat_around: ``(B, K, S)`` maximum of 5 x 5 cells.
        shape: Height and width of the map.
        centers: ``(B, S)`` probability of a person's center in a cell.
        keypoints: ``(B, K, S, 2)`` keypoint in each cell.
        expected: ``(B, K, S, 2)`` keypoints of a person with the center in
            the cell.
        cells: ``(S, 2)`` center of each cell.
        extent: ``(B, 1, 2)`` width and height of the images, without
            padding.  All coordinates are in cells.
    """

    heat: Tensor
    log_heat: Tensor
    heat_around: Tensor
    shape: tuple[int, int]
    centers: Tensor
    keypoints: Tensor
    expected: Tensor
    cells: Tensor
    extent: Tensor

    @classmethod
    def read(cls, maps: Tensor, valid_ratios: Tensor) -> PoseMaps:
        """Read the map of a backbone.

        Args:
            maps: ``(B, 86, height, width)``; channels as in
                :data:`POSE_CHANNELS`, offsets are x, y from the corner of
                the cell in units of cells.
            valid_ratios: ``(B, 2)`` unpadded share of width and height.

        Returns:
            At least float32: half precision has no fractions of a cell.

        Raises:
            ValueError: If the number of channels is wrong.
        """
        if maps.shape[1] != sum(POSE_CHANNELS):
            raise ValueError(
                'with decoder.pose_prior, the last map of the backbone must '
                f'have {sum(POSE_CHANNELS)} channels, got {maps.shape[1]}'
            )
        maps = at_least_float32(maps)
        height, width = maps.shape[-2:]
        cells = cell_centers((height, width), maps.device).to(maps.dtype)
        corners = cells - 0.5
        heat, centers, *offsets = maps.flatten(2).split(POSE_CHANNELS, dim=1)
        keypoints, expected = (
            corners + x.unflatten(1, (NUM_KEYPOINTS, 2)).transpose(2, 3)
            for x in offsets
        )
        extent = valid_ratios * tensor_like((width, height), valid_ratios)
        return cls(
            heat,
            heat.clamp(min=_SMALLEST).log(),
            _max_around(maps[:, :NUM_KEYPOINTS]).flatten(2),
            (height, width),
            centers[:, 0],
            keypoints,
            expected,
            cells,
            extent[:, None].to(maps.dtype),
        )

    def heat_at(self, places: Tensor) -> Tensor:
        """Highest heat around ``(B, P, K, 2)`` places, ``(B, P, K)``."""
        height, width = self.shape
        column, row = places.long().unbind(-1)
        cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        heat = self.heat_around.gather(2, cell.transpose(1, 2))
        return heat.transpose(1, 2)


def _max_around(maps: Tensor) -> Tensor:
    """Maxima of 5 x 5 cells, ``(B, K, height, width)`` like the maps."""
    # Four times faster on a CPU than the contiguous format.
    maps = maps.contiguous(memory_format=torch.channels_last)
    return F.max_pool2d(maps, 5, 1, 2)


def _without_autocast(device: torch.device) -> AbstractContextManager:
    # Exporters do not know the context, so it is only entered if needed.
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


@dataclass(frozen=True)
class PoseReading:
    """Values of the maps for persons.

    Args:
        expected: ``(B, P, K, 2)`` keypoints regressed from the center of the
            person, fractions of the image.
        side: ``(B, P)`` longer side of the box, cells.
        center: ``(B, P)`` probability of the center.
        heat: ``(B, P, K)`` probability of the keypoints near ``expected``.
    """

    expected: Tensor
    side: Tensor
    center: Tensor
    heat: Tensor

    @property
    def best_heat(self) -> Tensor:
        """Mean of the six most probable keypoints, ``(B, P)``."""
        return self.heat.topk(_NUM_BEST, dim=-1).values.mean(-1)

    def take(self, persons: Tensor) -> PoseReading:
        """Values for the persons with indices ``(B, n)`` int64."""
        # In this package, take_along_dim would fix the batch of exports.
        index = persons[..., None]
        return PoseReading(
            self.expected.gather(
                1, index[..., None].expand(-1, -1, *self.expected.shape[2:])
            ),
            self.side.gather(1, persons),
            self.center.gather(1, persons),
            self.heat.gather(1, index.expand(-1, -1, self.heat.shape[2])),
        )


@dataclass(frozen=True)
class Sightings:
    """Keypoints of persons that are detected in the maps.

    Args:
        places: ``(B, P, K, 2)`` fractions of the image.
        heat: ``(B, P, K)`` probability of the keypoints, 0 below the
            threshold.
    """

    places: Tensor
    heat: Tensor

    @property
    def is_seen(self) -> Tensor:
        """Which keypoints are detected, ``(B, P, K)`` bool."""
        return self.heat > 0

    def over(self, own: Tensor) -> Tensor:
        """Detected keypoints, and those of the decoder (``own``) elsewhere."""
        return torch.where(self.is_seen[..., None], self.places, own)


class PosePrior(BaseModule):
    """Initializes tokens at the keypoints of a pose network.

    Args:
        embed_dims: Width of a token.
        score_weight: Weight of the logit of the maps in the scores of persons.
        score_bias: Added to that logit. Probabilities of the maps are higher
            for large persons than for those of the training set.
        reach: Radius of the search for a keypoint around its expected place,
            as a fraction of the longer side of the person.
        min_score: Keypoints and centers with a lower probability are
            initialized by the decoder.
        min_sighting: Keypoints with a lower probability are not used as
            detections: for truncated persons the maps have false peaks.
    """

    def __init__(
        self,
        embed_dims: int,
        score_weight: float = 0.5,
        score_bias: float = 0.0,
        reach: float = 0.15,
        min_score: float = 0.1,
        min_sighting: float = 0.3,
    ) -> None:
        super().__init__()
        self.score_weight = score_weight
        self.score_bias = score_bias
        self.reach = reach
        self.min_score = min_score
        self.min_sighting = min_sighting
        parts = ('body_box', 'body_keypoints', *_ANCHORS)
        self.evidence = ModuleDict(
            {part: nn.Linear(_NUM_EVIDENCE, embed_dims) for part in parts}
        )
        self._zero_evidence()

    def init_weights(self) -> None:
        """Initialize the embeddings of the evidence to zero."""
        super().init_weights()
        self._zero_evidence()

    def _zero_evidence(self) -> None:
        for layer in self.evidence.values():
            constant_init(layer, 0)

    @torch.no_grad()
    def read(self, maps: PoseMaps, boxes: Tensor) -> PoseReading:
        """Read the maps for the persons of boxes.

        Args:
            maps: Maps of the images.
            boxes: ``(B, P, 4)`` cxcywh, fractions of the image.
        """
        center, size = (x * maps.extent for x in boxes.split(2, dim=-1))
        size = size.clamp(min=1.0)
        # The Gaussian is a product of those of x and y: fewer exponentials.
        grid = maps.cells.unflatten(0, maps.shape)
        x, y = (
            (-8.0 * ((line - middle) / side).square()).exp()
            for line, middle, side in zip(
                (grid[0, :, 0], grid[:, 0, 1]),
                center.split(1, dim=-1),
                size.split(1, dim=-1),
                strict=True,
            )
        )
        nearness = (y[..., None] * x[:, :, None]).flatten(2)
        probability, cell = (maps.centers[:, None] * nearness).max(-1)
        index = cell[:, None, :, None].expand(-1, NUM_KEYPOINTS, -1, 2)
        expected = maps.expected.gather(2, index).transpose(1, 2)
        places = expected / maps.extent[:, None]
        heat = maps.heat_at(expected)
        return PoseReading(places, size.amax(-1), probability, heat)

    def logit(self, reading: PoseReading) -> Tensor:
        """Term added to the logits of persons, ``(B, P)``."""
        both = torch.stack((reading.center, reading.best_heat)).clamp(
            _MIN_PROBABILITY, 1 - _MIN_PROBABILITY
        )
        return self.score_weight * both.logit().mean(0) + self.score_bias

    def start(
        self, maps: PoseMaps, reading: PoseReading, own: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Initial keypoints.

        Args:
            maps: Maps of the images.
            reading: Their values for the persons.
            own: ``(B, P, K, 2)`` initial keypoints of the decoder, fractions
                of the image.

        Returns:
            ``(B, P, K, 2)`` places, and ``(B, P, K, 3)`` evidence: heat of
            the keypoint, of the person's center, and whether the place is
            from the maps.  Only ``own`` has gradients.
        """
        is_known = (reading.center > self.min_score)[..., None, None]
        guess = torch.where(is_known, reading.expected, own)
        extent = maps.extent[:, None]
        peaks, heat = self._peaks(maps, guess * extent, reading.side)
        is_seen = (heat > self.min_score)[..., None]
        places = torch.where(is_seen, peaks / extent, guess)
        center = reading.center[..., None].expand_as(heat)
        is_from_maps = (is_seen | is_known)[..., 0].to(heat)
        evidence = torch.stack((heat, center, is_from_maps), dim=-1)
        return places.clamp(0.0, 1.0), evidence

    def embed(self, part: str, evidence: Tensor) -> Tensor:
        """Embedding ``(..., C)`` of the evidence ``(..., 3)`` of a part."""
        layer = self.evidence[part]
        return layer(evidence.to(layer.weight))

    @torch.no_grad()
    def _peaks(
        self, maps: PoseMaps, near: Tensor, side: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Best keypoints near ``(B, P, K, 2)`` places, in cells.

        Returns:
            ``(B, P, K, 2)`` keypoints in cells and ``(B, P, K)`` their heat.
        """
        # Maximizes heat * exp(-|near - cell|^2 / (2 * radius^2)), whose
        # logarithm is a matrix product, up to a constant.
        precision = (self.reach * side).clamp(min=1.0).pow(-2)
        precision = precision[..., None, None].expand_as(near[..., :1])
        places = torch.cat((near * precision, -0.5 * precision), dim=-1)
        squares = maps.cells.square().sum(-1, keepdim=True)
        cells = torch.cat((maps.cells, squares), dim=-1)
        with _without_autocast(cells.device):
            nearness = places.to(cells) @ cells.T  # (B, P, K, S)
        cell = (nearness + maps.log_heat[:, None]).argmax(-1)
        heat = maps.heat[:, None].expand(-1, cell.shape[1], -1, -1)
        heat = heat.gather(3, cell[..., None])[..., 0]
        index = cell.transpose(1, 2)[..., None].expand(-1, -1, -1, 2)
        return maps.keypoints.gather(2, index).transpose(1, 2), heat


class PoseHints:
    """:class:`PosePrior` for the persons of a batch.

    Args:
        prior: The prior.
        maps: Maps of the images.
        reading: Their values for the persons.
    """

    def __init__(
        self, prior: PosePrior, maps: PoseMaps, reading: PoseReading
    ) -> None:
        self.prior = prior
        self.maps = maps
        self.reading = reading
        # Of body keypoints, set when these are initialized.
        self.places: Tensor | None = None
        self.evidence: Tensor | None = None

    @property
    def sightings(self) -> Sightings | None:
        """Detections of body keypoints, ``None`` before :meth:`start`."""
        if self.places is None or self.evidence is None:
            return None
        heat = self.evidence[..., 0]
        is_inside = (self.places - 0.5).abs().amax(-1) < 0.5 - _BORDER
        is_seen = is_inside & (heat > self.prior.min_sighting)
        return Sightings(self.places, heat * is_seen)

    def logit(self) -> Tensor:
        """See :meth:`PosePrior.logit`."""
        return self.prior.logit(self.reading)

    def body(self) -> Tensor:
        """Term added to the content of persons, ``(B, P, 1, C)``."""
        heat, center = self.reading.best_heat, self.reading.center
        evidence = torch.stack((heat, center, torch.ones_like(heat)), dim=-1)
        return self.prior.embed('body_box', evidence[:, :, None])

    def start(self, part: str, own: Tensor) -> tuple[Tensor, Tensor | None]:
        """Initial places of the tokens of a part.

        Args:
            part: Its name; ``body_keypoints`` must precede the parts that are
                initialized at one of them.
            own: ``(B, P, n, 2)`` initial places of the decoder.

        Returns:
            ``(B, P, n, 2)`` places, and the term ``(B, P, n, C)`` added to
            the content; ``None`` for parts without a prior.
        """
        if part == 'body_keypoints':
            places, evidence = self.prior.start(self.maps, self.reading, own)
            self.places, self.evidence = places, evidence
        elif part in _ANCHORS:
            assert self.places is not None  # keypoints precede boxes
            assert self.evidence is not None
            token = slice(_ANCHORS[part], _ANCHORS[part] + 1)
            evidence = self.evidence[:, :, token]
            is_from_maps = evidence[..., -1:] > 0
            places = torch.where(is_from_maps, self.places[:, :, token], own)
        else:
            return own, None
        return places.to(own), self.prior.embed(part, evidence)
