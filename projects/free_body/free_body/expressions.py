# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ten named expression directions from the CC0 face units.

A direction adds the units of its first list and subtracts those of the
second, so that negative coefficients look natural, too. The jaw, the eyeballs
and the tongue are controlled by joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .makehuman import MakeHumanData


@dataclass(frozen=True)
class Expression:
    """One direction of the expression space.

    Attributes:
        name: Appearance of a positive / negative coefficient.
        adds, subtracts: Face units and their amounts per unit; ``*``
            stands for both sides.
    """

    name: str
    adds: dict[str, float]
    subtracts: dict[str, float]


EXPRESSIONS = (
    Expression(
        'smile / frown',
        {'mouthSmile*': 0.27, 'cheekSquint*': 0.2},
        {'mouthFrown*': 0.13},
    ),
    Expression(
        'brows up / down',
        {'browInnerUp': 0.25, 'browOuterUp*': 0.25},
        {'browDown*': 0.12},
    ),
    Expression('eyes closing / wide', {'eyeBlink*': 0.22}, {}),
    Expression(
        'lips pursed / stretched',
        {'mouthPucker': 0.28, 'mouthFunnel': 0.08},
        {'mouthStretch*': 0.15},
    ),
    Expression(
        'teeth shown / lips pressed',
        {'mouthUpperUp*': 0.42, 'mouthLowerDown*': 0.38},
        {'mouthPress*': 0.1},
    ),
    Expression(
        'nose wrinkled, eyes squinting / relaxed',
        {'noseSneer*': 0.4, 'eyeSquint*': 0.3, 'browDown*': 0.12},
        {},
    ),
    Expression('cheeks puffed / hollow', {'cheekPuff': 0.3}, {}),
    Expression(
        'chin and lips raised / lowered',
        {'mouthShrugLower': 0.42, 'mouthShrugUpper': 0.3},
        {},
    ),
    Expression(
        'mouth to the left / right', {'mouthLeft': 0.17}, {'mouthRight': 0.17}
    ),
    Expression(
        'left / right side smiles',
        {'mouthSmileLeft': 0.17, 'browOuterUpLeft': 0.2},
        {'mouthSmileRight': 0.17, 'browOuterUpRight': 0.2},
    ),
)


def expression_directions(data: MakeHumanData) -> np.ndarray:
    """Displacements (10, N, 3) for one unit of each direction."""
    return np.stack(
        [
            _units(data, expression.adds) - _units(data, expression.subtracts)
            for expression in EXPRESSIONS
        ]
    )


def _units(data: MakeHumanData, amounts: dict[str, float]) -> np.ndarray:
    total = np.zeros(data.vertices.shape)
    for name, amount in amounts.items():
        sides = ('Left', 'Right') if '*' in name else ('',)
        for side in sides:
            unit = data.face_unit(name.replace('*', side))
            total += amount * unit
    return total
