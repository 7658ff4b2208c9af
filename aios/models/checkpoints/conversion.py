# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Conversion of weights between official names and ours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .key_map import (
    aliases,
    canonical_name,
    is_body_model,
    official_tensors,
    to_official,
    to_ours,
)
from .reading import CheckpointError


@dataclass(frozen=True)
class Conversion:
    """Weights in our names, and their origin.

    Args:
        state_dict: Tensors by our name.
        network: ``'AiOS'`` or ``'ED-Pose'``.
        origin: Canonical official name by our name.
        aliases: Further names of these tensors, left out.
        body_model: Names of the body model's tensors, left out.
        unknown: Names that the network does not have, left out.
        missing: Official names of the network that are absent.
    """

    state_dict: dict[str, Tensor]
    network: str
    origin: dict[str, str]
    aliases: tuple[str, ...]
    body_model: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def is_official(names: Iterable[str]) -> bool:
    """Whether names are those of the published AiOS or ED-Pose.

    Args:
        names: Names of all tensors.
    """
    names = set(names)
    return (
        'transformer.level_embed' in names
        and 'transformer.decoder.keypoint_embed.weight' in names
    )


def convert(
    weights: Mapping[str, Tensor], allow_partial: bool = False
) -> Conversion:
    """Rename official weights.

    Args:
        weights: Tensors by official name, without ``module.``.
        allow_partial: Accept unknown names (they are left out) and missing
            ones. Wrong shapes and values are never accepted.

    Raises:
        CheckpointError: Names are unknown or missing, a shape differs from
            the published network, a value is not finite, or aliases have
            different values.
    """
    body_model = tuple(filter(is_body_model, weights))
    tensors, dropped = _merge_aliases(
        {
            name: tensor
            for name, tensor in weights.items()
            if not is_body_model(name)
        }
    )
    official = official_tensors()
    unknown = tuple(name for name in tensors if name not in official)
    known = {name: tensors[name] for name in official if name in tensors}
    if not known:
        raise CheckpointError(
            'contains no tensor of the published AiOS or ED-Pose, but '
            f'{", ".join([*weights][:5])} ...'
        )
    network = 'AiOS'
    if all(official[name].in_edpose for name in known):
        network = 'ED-Pose'
    missing = tuple(
        name
        for name, tensor in official.items()
        if name not in known and (tensor.in_edpose or network == 'AiOS')
    )
    if (unknown or missing) and not allow_partial:
        raise CheckpointError(_explain(network, unknown, missing))
    for name, tensor in known.items():
        _check(name, tensor, official[name].shape)
    origin = {_our_name(name): name for name in known}
    return Conversion(
        state_dict={ours: known[name] for ours, name in origin.items()},
        network=network,
        origin=origin,
        aliases=dropped,
        body_model=body_model,
        unknown=unknown,
        missing=missing,
    )


def export(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our weights to official ones, all aliases included.

    Args:
        state_dict: Tensors by our name; counters of batch norms, which the
            published network lacks, are left out.

    Returns:
        Tensors by official name. Aliases share their memory.

    Raises:
        CheckpointError: A tensor has no counterpart in the published
            network, as in models with another backbone or neck.
    """
    weights = {}
    for name, tensor in state_dict.items():
        if name.endswith('.num_batches_tracked'):
            continue
        official = to_official(name)
        expected = official_tensors().get(official or '')
        if official is None or expected is None:
            raise CheckpointError(
                f'{name} does not exist in the published AiOS; only models '
                'with its architecture (configs/_base_/models/aios_r50.py) '
                'can be exported'
            )
        _check(official, tensor, expected.shape)
        weights.update(dict.fromkeys(aliases(official), tensor))
    return weights


def _our_name(official: str) -> str:
    name = to_ours(official)
    if name is None:
        raise RuntimeError(f'key_map.RULES lacks a rule for {official}')
    return name


def _merge_aliases(
    weights: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors by their first name, and the dropped aliases."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in weights:
        groups[canonical_name(name)].append(name)
    for names in groups.values():
        for name in names[1:]:
            if not _same(weights[name], weights[names[0]]):
                raise CheckpointError(
                    f'{name} differs from {names[0]}, but the published '
                    'network has one tensor for both'
                )
    tensors = {name: weights[names[0]] for name, names in groups.items()}
    dropped = tuple(name for names in groups.values() for name in names[1:])
    return tensors, dropped


def _same(first: Tensor, second: Tensor) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    # NaN is reported later.
    return bool(torch.isclose(first, second, 0, 0, equal_nan=True).all())


def _check(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f'{name} has shape {tuple(tensor.shape)}, expected {shape} as in '
            'the published network'
        )
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f'{name} holds NaN or infinite values')


def _explain(
    network: str, unknown: tuple[str, ...], missing: tuple[str, ...]
) -> str:
    parts = [f'not the weights of the published {network} (ResNet-50)']
    for title, names in (('unknown', unknown), ('missing', missing)):
        if names:
            more = f' and {len(names) - 5} more' if len(names) > 5 else ''
            parts.append(f'{title}: {", ".join(names[:5])}{more}')
    parts.append('partial weights are accepted on request (--allow-partial)')
    return '; '.join(parts)
