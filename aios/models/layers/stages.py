# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Stages of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aios.structures import TOKEN_LAYOUTS, TokenLayout


@dataclass(frozen=True)
class Stage:
    """Consecutive decoder layers with the same token layout.

    Args:
        layout: Tokens of a person.
        first_layer: Index of its first layer in the decoder.
        num_layers: Number of layers.
    """

    layout: TokenLayout
    first_layer: int
    num_layers: int

    @property
    def last_layer(self) -> int:
        """Index of its last layer in the decoder."""
        return self.first_layer + self.num_layers - 1


def read_stages(stages: Sequence[dict[str, Any]]) -> tuple[Stage, ...]:
    """Read the ``stages`` of a config.

    Args:
        stages: For each stage ``layout``, a key of
            :data:`aios.structures.TOKEN_LAYOUTS`, and ``num_layers``.

    Raises:
        ValueError: If a stage has other keys, a layout is unknown, a stage
            has no layer, the first stage does not consist of a single box
            token, or a stage drops tokens of the one before.
    """
    result: list[Stage] = []
    for stage in stages:
        if sorted(stage) != ['layout', 'num_layers']:
            raise ValueError(
                f'a stage must have layout and num_layers, got {stage}'
            )
        name, num_layers = stage['layout'], stage['num_layers']
        if name not in TOKEN_LAYOUTS:
            raise ValueError(
                f'unknown layout {name!r}, must be one of '
                f'{tuple(TOKEN_LAYOUTS)}'
            )
        if not isinstance(num_layers, int) or num_layers < 1:
            raise ValueError(
                f'stage {name!r}: num_layers must be a positive integer, got '
                f'{num_layers}'
            )
        layout = TOKEN_LAYOUTS[name]
        previous = result[-1].layout.names if result else ()
        if not set(previous) <= set(layout.names):
            raise ValueError(
                f'stage {name!r} lacks tokens of {result[-1].layout.name!r}'
            )
        first = result[-1].last_layer + 1 if result else 0
        result.append(Stage(layout, first, num_layers))
    if not result or len(result[0].layout) != 1:
        raise ValueError('the first stage must have a single box token')
    return tuple(result)
