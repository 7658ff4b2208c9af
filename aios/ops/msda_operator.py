# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention as torch operators with gradients.

:func:`torch.compile` treats such an operator as a node of the graph.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

# Value, sizes, locations, weights -> output (B, Q, H, D); sizes are height,
# width, height, ...
Forward = Callable[[Tensor, list[int], Tensor, Tensor], Tensor]
# Gradient of the output, then as above -> gradients of value, locations and
# weights.
Backward = Callable[
    [Tensor, Tensor, list[int], Tensor, Tensor], tuple[Tensor, Tensor, Tensor]
]


def constant_when_compiled(
    function: Callable[[torch.device], bool],
) -> Callable[[torch.device], bool]:
    """Let :func:`torch.compile` treat the result of a function as constant.

    :func:`torch.compiler.assume_constant_result` does the same, but imports
    TorchDynamo, which takes more than a second.

    Args:
        function: The function, modified in place.
    """
    setattr(function, '_dynamo_marked_constant', True)  # noqa: B010
    return function


class Kernel(Protocol):
    """Interface of the kernels: sums of samples of several levels."""

    def __call__(
        self,
        value: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        sampling_locations: Tensor,
        attention_weights: Tensor,
    ) -> Tensor:
        """Compute the weighted sums of samples.

        Args:
            value: ``(B, S, H, D)``, the levels one after another, row by row.
            spatial_shapes: ``(height, width)`` of each level.
            sampling_locations: ``(B, Q, H, L, K, 2)`` x, y; a level covers
                ``[0, 1]``. Float32 at least.
            attention_weights: ``(B, Q, H, L, K)``.

        Returns:
            ``(B, Q, H * D)`` in the dtype of the value.
        """


def make_operator(
    name: str,
    forward: Forward,
    backward: Backward,
    new_value_gradient: Callable[[Tensor], Tensor],
    device_types: str | None = None,
) -> Kernel:
    """Register two functions as operator ``aios::NAME`` with a gradient.

    Args:
        name: Name of the operator; its gradient is the operator
            ``aios::NAME_backward``.
        forward: Value ``(B, S, H, D)``, sizes (height, width, height, ...),
            locations ``(B, Q, H, L, K, 2)`` and weights ``(B, Q, H, L, K)``
            to output ``(B, Q, H, D)``.
        backward: Gradient of the output and the inputs of ``forward``, to the
            gradients of value, locations and weights.
        new_value_gradient: Value to a tensor with the layout of its gradient.
        device_types: Devices of the operator; ``None``: any.

    Returns:
        A function that calls the operator.
    """
    options: dict[str, Any] = dict(mutates_args=(), device_types=device_types)
    inputs = 'Tensor value, int[] sizes, Tensor locations, Tensor weights'
    operator = torch.library.custom_op(
        f'aios::{name}', forward, schema=f'({inputs}) -> Tensor', **options
    )
    gradient_operator = torch.library.custom_op(
        f'aios::{name}_backward',
        backward,
        schema=f'(Tensor gradient, {inputs}) -> (Tensor, Tensor, Tensor)',
        **options,
    )

    def fake_gradients(
        gradient: Tensor, value: Tensor, sizes: list[int], *samples: Tensor
    ) -> tuple[Tensor, ...]:
        return (
            new_value_gradient(value),
            *(tensor.new_empty(tensor.shape) for tensor in samples),
        )

    def gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        results = gradient_operator(
            gradient, value, ctx.sizes, locations, weights
        )
        return results[0], None, results[1], results[2]

    def kernel(
        value: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        sampling_locations: Tensor,
        attention_weights: Tensor,
    ) -> Tensor:
        samples = sampling_locations, attention_weights
        return call_operator(operator, value, spatial_shapes, *samples)

    operator.register_fake(empty_output)
    gradient_operator.register_fake(fake_gradients)
    operator.register_autograd(gradients, setup_context=_setup_context)
    return kernel


def call_operator(
    operator: Callable[..., Tensor],
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    *samples: Tensor,
) -> Tensor:
    """Call an operator with the arguments of a :class:`Kernel`.

    Args:
        operator: Takes value, sizes (height, width, height, ...) and samples.
        value: ``(B, S, H, D)``, the levels one after another, row by row.
        spatial_shapes: ``(height, width)`` of each level.
        *samples: Locations or references and offsets, and weights.

    Returns:
        ``(B, Q, H * D)``.
    """
    sizes = list(itertools.chain.from_iterable(spatial_shapes))
    return operator(value, sizes, *samples).flatten(2)


def empty_output(value: Tensor, sizes: list[int], *samples: Tensor) -> Tensor:
    """Uninitialized output of an operator.

    Args:
        value: ``(B, S, H, D)``.
        sizes: Height, width, height, ...
        *samples: Further inputs, the last of them weights
            ``(B, Q, H, L, K)``.

    Returns:
        ``(B, Q, H, D)``.
    """
    return value.new_empty(*samples[-1].shape[:3], value.shape[3])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    value, ctx.sizes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)
