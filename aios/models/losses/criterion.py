# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The criterion of AiOS (AiOS paper, Sec. 3.4).

A table in the config (``configs/_base_/losses``) has the weights of the losses
of each output.

Legend: ``B`` images, ``P`` candidates, ``M`` matched persons, ``C`` classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor

from aios.models.heads.outputs import (
    LayerOutputs,
    NetworkOutputs,
    SMPLXParams,
)
from aios.models.task_modules import Candidates, Matches, PersonTargets
from aios.registry import MODELS, TASK_UTILS
from aios.structures import BODY_LOCALIZATION, TOKEN_LAYOUTS
from aios.utils.choices import check_choice
from aios.utils.tensors import at_least_float32, tensor_like

from .ignored import ignored_regions, mostly_inside
from .person_loss import AvgFactor, PersonLoss, PersonPredictions

_ENCODER = 'encoder'
_LAYER = re.compile(r'd(0|[1-9]\d*)')
_PERSON_LOSSES: Mapping[str, dict[str, Any]] = {
    'boxes': dict(type='PartBoxLoss'),
    'keypoints': dict(type='PartKeypointLoss'),
    'pose': dict(type='SMPLXPoseLoss'),
    'coefficients': dict(type='SMPLXCoefficientLoss'),
    'joints3d': dict(type='SMPLXJoint3DLoss'),
    'joints2d': dict(type='SMPLXJoint2DLoss'),
}


@dataclass(frozen=True)
class _Output:
    """A supervised output.

    Args:
        stage: ``encoder`` or the name of a token layout.
        prefix: Prefix of the names of its losses.
        weights: Terms to weights, without zeros.
        layer: Predictions.
        needs_joints: Whether one of its losses needs joints of bodies.
    """

    stage: str
    prefix: str
    weights: Mapping[str, float]
    layer: LayerOutputs
    needs_joints: bool

    def candidates(self) -> Candidates:
        return Candidates(
            self.layer.logits,
            self.layer.boxes['body_box'],
            self.layer.points.get('body_keypoints'),
        )


@dataclass(frozen=True)
class BatchMatches:
    """Matches of a batch, see :meth:`WholeBodyCriterion.match`.

    Args:
        outputs: Supervised outputs: the encoder, then the decoder layers.
        matches: Matches of each output.
        smplx: SMPL-X parameters ``(M, ...)`` of the matched persons of each
            output; ``None`` for outputs without parameters.
        targets: Persons of the batch.
        ignored: See :func:`~aios.models.losses.ignored.ignored_regions`.
    """

    outputs: Sequence[_Output]
    matches: Sequence[Matches]
    smplx: Sequence[SMPLXParams | None]
    targets: PersonTargets
    ignored: Sequence[Tensor] | None

    def persons_to_pose(self) -> list[tuple[str, SMPLXParams]]:
        """Matched persons of the outputs whose losses need joints.

        Returns:
            Stage and parameters ``(M, ...)`` of each such output.
        """
        return [
            (output.stage, smplx)
            for output, smplx in zip(self.outputs, self.smplx, strict=True)
            if output.needs_joints and smplx is not None
        ]


@MODELS.register_module()
class WholeBodyCriterion(BaseModule):
    """Matches predictions with persons and computes all losses.

    Names of losses are those of MMDetection: ``loss_*`` for the last layer,
    ``d0.loss_*`` and so on for the layers before, ``enc_loss_*`` for the
    proposals of the encoder, ``dn_loss_*`` for denoising queries.  Values
    include their weights.

    Args:
        assigner: Config of the assigner.
        loss_weights: Stage (``encoder`` or the name of a token layout) to
            the weight of each term.  Absent and zero terms are not
            computed.  The key ``d<i>`` changes weights of layer ``i`` only.
        loss_cls: Config of the classification loss, term ``cls``: a module
            from logits ``(..., C)`` and targets 0/1 of the same shape to the
            sum of the loss; a loss of MMDetection has ``reduction='sum'``.
        person_losses: Configs of the losses of matched persons, by any name;
            merged into the default, which has all of this package.
        loss_denoising: Config of the loss of denoising queries.
        max_ignored_overlap: Unmatched candidates are not treated as
            background if a larger part of them lies in one of the sample's
            ``ignored_instances`` (a crowd).
        sync_avg_factors: Average over the persons of all processes.  The
            published code only does this for the number of persons (of
            ``cls`` and the body boxes), not for hands, joints and so on.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``loss_weights`` or ``match_costs`` name an unknown
            output or term, two losses have the same term, or ``loss_cls`` is
            a mean; a layer that the decoder lacks is found in the first step.
    """

    def __init__(
        self,
        assigner: dict[str, Any],
        loss_weights: Mapping[str, Mapping[str, float]],
        loss_cls: dict[str, Any] | None = None,
        person_losses: Mapping[str, dict[str, Any]] | None = None,
        loss_denoising: dict[str, Any] | None = None,
        max_ignored_overlap: float = 0.5,
        sync_avg_factors: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.assigner = TASK_UTILS.build(assigner)
        self.loss_cls = MODELS.build(loss_cls or dict(type='SigmoidFocalLoss'))
        reduction = getattr(self.loss_cls, 'reduction', 'sum')
        check_choice('loss_cls.reduction', reduction, ('sum',))
        losses = dict(_PERSON_LOSSES, **(person_losses or {}))
        self.person_losses = ModuleDict(
            {name: MODELS.build(config) for name, config in losses.items()}
        )
        self.loss_denoising = MODELS.build(
            loss_denoising or dict(type='DenoisingLoss')
        )
        self.max_ignored_overlap = max_ignored_overlap
        self.sync_avg_factors = sync_avg_factors
        self.loss_weights = {
            output: dict(weights) for output, weights in loss_weights.items()
        }
        self._check_names()

    @property
    def terms(self) -> tuple[str, ...]:
        """All terms that may have a weight."""
        return (
            'cls',
            *(term for loss in self._losses() for term in loss.terms),
            *self.loss_denoising.terms,
        )

    def _losses(self) -> list[PersonLoss]:
        return list(self.person_losses.values())

    def _check_names(self) -> None:
        stages = (_ENCODER, *TOKEN_LAYOUTS)
        for stage in getattr(self.assigner, 'match_costs', ()):
            check_choice('stages in match_costs', stage, stages)
        terms = set(self.terms)
        if len(terms) < len(self.terms):
            twice = sorted(x for x in terms if self.terms.count(x) > 1)
            raise ValueError(
                f'person_losses: several have the terms {twice}; to replace a '
                f'loss, use its name, of {list(_PERSON_LOSSES)}'
            )
        for output, weights in self.loss_weights.items():
            if output not in stages and not _LAYER.fullmatch(output):
                raise ValueError(
                    f'loss_weights: {output!r} must be one of {stages} or '
                    "'d<layer>'"
                )
            if unknown := set(weights) - terms:
                raise ValueError(
                    f'loss_weights[{output!r}]: unknown terms '
                    f'{sorted(unknown)}, must be of {sorted(terms)}'
                )

    def _check_layers(self, last: int) -> None:
        for output in self.loss_weights.keys() - {_ENCODER, *TOKEN_LAYOUTS}:
            if int(output.removeprefix('d')) > last:
                raise ValueError(
                    f'loss_weights: {output!r} must be at most d{last}, the '
                    'last layer of the decoder'
                )

    def match(
        self,
        outputs: NetworkOutputs,
        batch_data_samples: Sequence[DetDataSample],
    ) -> BatchMatches:
        """Match persons with candidates, separately in each output.

        Args:
            outputs: Predictions.
            batch_data_samples: ``B`` samples with ``gt_instances``, and
                optionally ``ignored_instances`` with ``bboxes`` of crowds.
        """
        with torch.autocast(outputs.encoder.logits.device.type, enabled=False):
            supervised = self._supervised(outputs)
            logits = supervised[0].layer.logits
            targets = PersonTargets.from_samples(
                batch_data_samples, logits.device, logits.dtype
            )
            matches = self.assigner.assign(
                [(out.stage, out.candidates()) for out in supervised], targets
            )
            ignored = ignored_regions(batch_data_samples, logits)
        # Outside of the context, in the precision of the network.
        smplx = [
            None if out.layer.smplx is None else out.layer.smplx.take(m.take)
            for out, m in zip(supervised, matches, strict=True)
        ]
        return BatchMatches(supervised, matches, smplx, targets, ignored)

    def forward(
        self,
        outputs: NetworkOutputs,
        matches: BatchMatches,
        joints3d: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """All losses of a batch.

        Args:
            outputs: Predictions.
            matches: Result of :meth:`match` for these.
            joints3d: Joints ``(M, 137, 3)`` of each element of
                :meth:`BatchMatches.persons_to_pose`, meters without
                translation.

        Returns:
            Scalars by name.
        """
        with torch.autocast(outputs.encoder.logits.device.type, enabled=False):
            scales = self._scales(
                outputs, matches.targets, matches.outputs[0].layer.logits
            )
            posed = iter(joints3d)
            losses: dict[str, Tensor] = {}
            for output, matched, smplx in zip(
                matches.outputs, matches.matches, matches.smplx, strict=True
            ):
                body = next(posed) if output.needs_joints else None
                predictions = PersonPredictions.gather(
                    output.layer, matched, smplx, body
                )
                totals = self._person_totals(
                    output, predictions, matched.targets(matches.targets)
                )
                totals |= self._denoising_totals(output, outputs)
                if 'cls' in output.weights:
                    totals['cls'] = self._class_loss(
                        output.layer, matched, matches
                    )
                losses |= _weighted(output, totals, scales)
            return _attach(losses, outputs, matches.smplx)

    def _supervised(self, outputs: NetworkOutputs) -> list[_Output]:
        encoder = LayerOutputs(
            BODY_LOCALIZATION,
            outputs.encoder.logits,
            {'body_box': outputs.encoder.boxes},
            {},
        )
        supervised = [
            self._output(_ENCODER, 'enc_', self._weights(_ENCODER), encoder)
        ]
        last = len(outputs.layers) - 1
        self._check_layers(last)
        for index, layer in enumerate(outputs.layers):
            stage = layer.layout.name
            weights = self._weights(stage, f'd{index}')
            prefix = '' if index == last else f'd{index}.'
            supervised.append(self._output(stage, prefix, weights, layer))
        return supervised

    def _output(
        self,
        stage: str,
        prefix: str,
        weights: Mapping[str, float],
        layer: LayerOutputs,
    ) -> _Output:
        needs_joints = layer.smplx is not None and any(
            loss.needs_joints for loss, _ in self._weighted_losses(weights)
        )
        return _Output(stage, prefix, weights, _to_float(layer), needs_joints)

    def _weighted_losses(
        self, weights: Mapping[str, float]
    ) -> Iterator[tuple[PersonLoss, set[str]]]:
        """Losses of persons with their terms that have a weight."""
        for loss in self._losses():
            if terms := weights.keys() & set(loss.terms):
                yield loss, terms

    def _weights(self, stage: str, layer: str = '') -> dict[str, float]:
        weights = dict(self.loss_weights.get(stage, {}))
        weights |= self.loss_weights.get(layer, {})
        return {term: weight for term, weight in weights.items() if weight}

    def _scales(
        self, outputs: NetworkOutputs, targets: PersonTargets, like: Tensor
    ) -> dict[str, Tensor]:
        """Factor that converts the sum of each term to an average.

        Counts include all persons of the batch, matched or not, and with
        ``sync_avg_factors`` those of all processes.
        """
        factors: dict[str, AvgFactor] = {}
        for loss in self._losses():
            factors |= loss.avg_factors(targets)
            if missing := set(loss.terms) - set(factors):
                raise ValueError(
                    f'{type(loss).__name__}: avg_factors lack '
                    f'{sorted(missing)}'
                )
        if outputs.dn_queries is not None:
            factors |= self.loss_denoising.avg_factors(
                outputs.dn_queries, like.shape[-1]
            )
        counts = torch.stack([x.count.to(like) for x in factors.values()])
        persons = like.new_full((1,), len(targets))
        if self.sync_avg_factors:
            counts, persons = reduce_mean(torch.cat((counts, persons))).split(
                [len(counts), 1]
            )
        else:
            persons = reduce_mean(persons)
        eps = tensor_like([x.eps for x in factors.values()], like)
        inverse = torch.where(counts > 0, 1 / (counts + eps), 0)
        scales = dict(zip(factors, inverse.unbind(), strict=True))
        of_persons = 'cls', 'body_bbox', 'body_giou'
        return scales | dict.fromkeys(of_persons, 1 / persons[0].clamp(min=1))

    def _person_totals(
        self,
        output: _Output,
        predictions: PersonPredictions,
        persons: PersonTargets,
    ) -> dict[str, Tensor]:
        """Sums over the batch of the weighted terms of persons."""
        totals: dict[str, Tensor] = {}
        for loss, terms in self._weighted_losses(output.weights):
            per_person = loss(predictions, persons, terms)
            for term, values in per_person.items():
                if values.shape != (len(persons),):
                    raise ValueError(
                        f'{type(loss).__name__}: {term} must have one value '
                        f'for each of {len(persons)} persons, got shape '
                        f'{tuple(values.shape)}'
                    )
            totals |= {term: x.sum() for term, x in per_person.items()}
        return totals

    def _denoising_totals(
        self, output: _Output, outputs: NetworkOutputs
    ) -> dict[str, Tensor]:
        layer, queries = output.layer, outputs.dn_queries
        terms = output.weights.keys() & set(self.loss_denoising.terms)
        if not terms or layer.dn_logits is None or queries is None:
            return {}
        return self.loss_denoising(
            layer.dn_logits, layer.dn_boxes, queries, self.loss_cls, terms
        )

    def _class_loss(
        self, layer: LayerOutputs, matched: Matches, batch: BatchMatches
    ) -> Tensor:
        logits = layer.logits.flatten(0, 1)
        target = torch.zeros_like(logits)
        labels = batch.targets.labels[matched.persons]
        target[matched.candidates, labels] = 1
        if batch.ignored is None:
            return self.loss_cls(logits, target)
        used = ~mostly_inside(
            layer.boxes['body_box'], batch.ignored, self.max_ignored_overlap
        ).flatten()
        used[matched.candidates] = True
        return self.loss_cls(logits[used], target[used])


def _to_float(layer: LayerOutputs) -> LayerOutputs:
    """Outputs in at least single precision."""
    dn_logits, dn_boxes = layer.dn_logits, layer.dn_boxes
    if dn_logits is not None and dn_boxes is not None:
        dn_logits = at_least_float32(dn_logits)
        dn_boxes = at_least_float32(dn_boxes)
    return replace(
        layer,
        logits=at_least_float32(layer.logits),
        boxes={k: at_least_float32(x) for k, x in layer.boxes.items()},
        points={k: at_least_float32(x) for k, x in layer.points.items()},
        dn_logits=dn_logits,
        dn_boxes=dn_boxes,
    )


def _weighted(
    output: _Output,
    totals: Mapping[str, Tensor],
    scales: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Weighted losses of an output by their names in logs.

    Raises:
        ValueError: If the output lacks a term that has a weight.
    """
    losses = {}
    for term, weight in output.weights.items():
        if term not in totals:
            if term.startswith('dn_') and output.stage != _ENCODER:
                continue  # without denoising queries
            raise ValueError(
                f'loss_weights: stage {output.stage!r} has no term {term!r}'
            )
        dn = 'dn_' if term.startswith('dn_') else ''
        name = f'{output.prefix}{dn}loss_{term.removeprefix(dn)}'
        losses[name] = weight * scales[term] * totals[term]
    return losses


def _attach(
    losses: dict[str, Tensor],
    outputs: NetworkOutputs,
    smplx: Sequence[SMPLXParams | None],
) -> dict[str, Tensor]:
    """Add zero times all outputs to the losses.

    Every parameter thus gets a gradient in every step, also without persons,
    and DDP need not search for unused parameters.
    """
    tensors = [outputs.encoder.logits, outputs.encoder.boxes]
    for layer in outputs.layers:
        tensors += [layer.logits, *layer.boxes.values()]
        tensors += layer.points.values()
        if layer.dn_logits is not None and layer.dn_boxes is not None:
            tensors += [layer.dn_logits, layer.dn_boxes]
    for params in smplx:
        tensors += [] if params is None else vars(params).values()
    if not losses:
        raise ValueError('loss_weights are all zero')
    first = next(iter(losses))
    # Sums of empty slices are exactly zero, even if outputs are NaN.
    zeros = torch.stack([x[:0].sum().to(losses[first]) for x in tensors])
    return losses | {first: losses[first] + zeros.sum()}
