# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Layouts of the tokens of a person (AiOS paper, Sec. 3).

The tokens of a person form a tree: a body box, its 17 keypoints, two hand
boxes and a face box with 6 points each.  The three stages of the network use
1, 21 and 39 of these tokens.  A :class:`TokenLayout` provides their indices.

A tensor of tokens is ``(B, P, T, C)``: images, persons, tokens, channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from .joints import COCO_17, FACE_6, LEFT_HAND_6, RIGHT_HAND_6


@dataclass(frozen=True)
class PartTokens:
    """Consecutive tokens of one kind.

    Args:
        name: Unique name within a layout, e.g. ``left_hand_box``.
        joints: Joint name of each token; empty for the single box token.
        parent: Name of the box token that is expanded into this part;
            ``None`` for the root.
    """

    name: str
    joints: tuple[str, ...] = ()
    parent: str | None = None

    @property
    def is_box(self) -> bool:
        """Whether this is a box token (which attends to other persons)."""
        return not self.joints

    def __len__(self) -> int:
        return 1 if self.is_box else len(self.joints)


@dataclass(frozen=True)
class TokenLayout:
    """Order of the ``T`` tokens of a person in one stage.

    Args:
        name: Name of the stage.
        parts: Parts in token order.
    """

    name: str
    parts: tuple[PartTokens, ...]

    def __post_init__(self) -> None:
        known: set[str] = set()
        for part in self.parts:
            if part.name in known:
                raise ValueError(f'{self.name}: duplicate part {part.name!r}')
            if part.parent is not None and part.parent not in known:
                raise ValueError(
                    f'{self.name}: parent {part.parent!r} must come before '
                    f'{part.name!r}'
                )
            known.add(part.name)

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __reduce__(self) -> tuple:
        # Cached properties are read-only and need not be pickled.
        return type(self), (self.name, self.parts)

    @property
    def slices(self) -> dict[str, slice]:
        """Part name to its slice of the token axis."""
        # Not cached: torch.compile does not support cached properties.
        slices, start = {}, 0
        for part in self.parts:
            slices[part.name] = slice(start, start + len(part))
            start += len(part)
        return slices

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each token; points are called ``part.joint``."""
        return tuple(
            name
            for part in self.parts
            for name in (
                [part.name]
                if part.is_box
                else [f'{part.name}.{joint}' for joint in part.joints]
            )
        )

    @cached_property
    def is_box(self) -> np.ndarray:
        """``(T,)`` bool: box tokens, which attend to other persons."""
        flags = np.array([p.is_box for p in self.parts for _ in range(len(p))])
        flags.setflags(write=False)
        return flags

    @cached_property
    def parents(self) -> np.ndarray:
        """``(T,)`` int64 index of the parent token, -1 for the root."""
        parents = np.array(
            [
                -1 if part.parent is None else self.slices[part.parent].start
                for part in self.parts
                for _ in range(len(part))
            ]
        )
        parents.setflags(write=False)
        return parents

    def part(self, name: str) -> PartTokens:
        """The part called ``name``.

        Raises:
            KeyError: If the stage has no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(f'layout {self.name!r} has no part {name!r}')

    def indices(self, *names: str) -> np.ndarray:
        """``(K,)`` int64 token indices of several parts, ascending."""
        return np.sort(
            np.concatenate(
                [np.arange(len(self))[self.slices[name]] for name in names]
            )
        )

    def new_parts(self, previous: TokenLayout) -> tuple[PartTokens, ...]:
        """Parts that this stage adds to the previous one, in order."""
        known = {part.name for part in previous.parts}
        return tuple(part for part in self.parts if part.name not in known)

    def attention_allowed(self, num_persons: int) -> np.ndarray:
        """Dense attention mask, the definition of person attention.

        A token attends to its own person; box tokens also attend to the box
        tokens of all persons.  The network uses a factorized form.

        Returns:
            ``(P * T, P * T)`` bool, rows are queries.
        """
        person = np.repeat(np.arange(num_persons), len(self))
        box = np.tile(self.is_box, num_persons)
        same_person = person[:, None] == person[None]
        return same_person | (box[:, None] & box[None])


def _box(name: str, parent: str | None = 'body_box') -> PartTokens:
    return PartTokens(name, parent=parent)


_BODY = _box('body_box', parent=None)
_KEYPOINTS = PartTokens('body_keypoints', COCO_17.names, 'body_box')
_LIMBS = (
    ('left_hand', LEFT_HAND_6.names),
    ('right_hand', RIGHT_HAND_6.names),
    ('face', FACE_6.names),
)

BODY_LOCALIZATION = TokenLayout('body_localization', (_BODY,))
BODY_REFINEMENT = TokenLayout(
    'body_refinement',
    (_BODY, _KEYPOINTS, *(_box(f'{limb}_box') for limb, _ in _LIMBS)),
)
WHOLE_BODY = TokenLayout(
    'whole_body',
    (
        _BODY,
        _KEYPOINTS,
        *(
            part
            for limb, joints in _LIMBS
            for part in (
                _box(f'{limb}_box'),
                PartTokens(f'{limb}_keypoints', joints, f'{limb}_box'),
            )
        ),
    ),
)

TOKEN_LAYOUTS: Mapping[str, TokenLayout] = MappingProxyType(
    {
        layout.name: layout
        for layout in (BODY_LOCALIZATION, BODY_REFINEMENT, WHOLE_BODY)
    }
)
