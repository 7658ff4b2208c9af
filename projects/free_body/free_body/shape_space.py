# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ten named shape directions.

Each direction is driven by MakeHuman targets. Random bodies are drawn along
all ten directions, converted to the rest pose, and a linear model is fitted.
Stature is removed from the other nine directions, which are orthogonalized
symmetrically (Loewdin) to change them as little as possible. Each is then
scaled to the root-mean-square displacement of one standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .makehuman import MakeHumanData
from .repose import RestBody, repose

_MACRO = 'macrodetails'
_ANCESTRIES = ('african', 'asian', 'caucasian')
_CLIP = 2.2  # standard deviations


@dataclass(frozen=True)
class Factor:
    """One direction of the shape space.

    Attributes:
        name: Meaning of a positive coefficient.
        rms_cm: Root-mean-square displacement of one unit over all vertices.
        macros: Change of MakeHuman macro parameters per unit.
        targets: Amount per unit of a pair of targets, by the name of the
            target that a positive amount adds; see :func:`_opposite`.
    """

    name: str
    rms_cm: float
    macros: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)


def _both(name: str, amount: float) -> dict[str, float]:
    """The same target on both sides."""
    return {name.replace('*', side): amount for side in 'lr'}


FACTORS = (
    Factor('taller', 2.4, {'height': 0.06}),
    Factor('heavier', 0.42, {'weight': 0.18}),
    Factor(
        'more masculine at the same height',
        0.55,
        {'gender': 0.2, 'height': -0.026},
        {'arms/measure-lowerarm-length-incr': -0.15},
    ),
    Factor(
        'longer legs, shorter torso',
        0.9,
        targets={
            'legs/measure-upperleg-height-incr': 0.3,
            'legs/measure-lowerleg-height-incr': 0.3,
            'torso/torso-scale-vert-incr': -0.3,
        },
    ),
    Factor(
        'longer arms',
        0.9,
        targets={
            'arms/measure-upperarm-length-incr': 0.3,
            'arms/measure-lowerarm-length-incr': 0.3,
        },
    ),
    Factor('more muscular', 0.25, {'muscle': 0.22}),
    Factor(
        'broader shoulders, narrower hips',
        0.45,
        targets={
            'torso/measure-shoulder-dist-incr': 0.45,
            'torso/torso-vshape-incr': 0.35,
            'hip/hip-scale-horiz-incr': -0.25,
            'arms/measure-upperarm-length-incr': -0.2,
        },
    ),
    Factor(
        'rounder belly, deeper chest',
        0.28,
        targets={
            'stomach/stomach-pregnant-incr': 0.3,
            'torso/torso-scale-depth-incr': 0.3,
            'torso/measure-waist-circ-incr': 0.3,
        },
    ),
    Factor(
        'fuller hips and thighs',
        0.28,
        targets={
            'hip/hip-scale-horiz-incr': 0.35,
            'buttocks/buttocks-volume-incr': 0.4,
            'legs/measure-thigh-circ-incr': 0.35,
            **_both('legs/*-upperleg-fat-incr', 0.4),
            **_both('legs/*-lowerleg-fat-incr', 0.3),
        },
    ),
    Factor(
        'larger head, shorter neck',
        0.5,
        targets={
            'head/head-scale-horiz-incr': 0.3,
            'head/head-scale-vert-incr': 0.3,
            'head/head-scale-depth-incr': 0.3,
            'neck/measure-neck-height-incr': -0.4,
        },
    ),
)

_BASE = {'height': 0.5, 'weight': 0.53, 'muscle': 0.5, 'proportions': 0.6}
_GENDER = {'neutral': 0.5, 'male': 0.9, 'female': 0.1}


def sample_bodies(
    data: MakeHumanData, gender: str, count: int, seed: int = 7
) -> tuple[np.ndarray, list[RestBody]]:
    """Draw bodies along all factors at once.

    They are drawn in opposite pairs, so that quadratic effects of the
    coefficients do not affect the linear fit.

    Returns:
        Coefficients (S, 10) with S = ``count`` + 1, the first row zeros,
        and the bodies in the rest pose.
    """
    half = np.random.RandomState(seed).randn(count // 2, len(FACTORS))
    half = np.clip(half, -_CLIP, _CLIP)
    draws = np.concatenate([np.zeros((1, len(FACTORS))), half, -half])
    return draws, [repose(data, _shape(data, gender, z)) for z in draws]


def fit_directions(
    coefficients: np.ndarray, vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the template and the orthogonal directions.

    Args:
        coefficients: (S, 10) of the drawn bodies.
        vertices: (S, V, 3) of the drawn bodies.

    Returns:
        Template (V, 3) and directions (10, V, 3) for one unit each.
    """
    design = np.c_[np.ones(len(coefficients)), coefficients]
    flat = vertices.reshape(len(vertices), -1)
    solution = np.linalg.lstsq(design, flat, rcond=None)[0]
    directions = _orthogonalized(solution[1:])
    rms = np.array([factor.rms_cm / 100 for factor in FACTORS])
    directions *= rms[:, None] * np.sqrt(vertices.shape[1])
    shape = vertices.shape[1:]
    return solution[0].reshape(shape), directions.reshape(-1, *shape)


def _orthogonalized(rows: np.ndarray) -> np.ndarray:
    """Orthonormal rows close to the input; the first keeps its direction."""
    first = rows[:1] / np.linalg.norm(rows[0])
    others = rows[1:] - (rows[1:] @ first.T) * first
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(others @ others.T)
    inverse_root = vectors / np.sqrt(values) @ vectors.T
    return np.concatenate([first, inverse_root @ others])


def _shape(
    data: MakeHumanData, gender: str, coefficients: np.ndarray
) -> np.ndarray:
    """Shape the MakeHuman mesh (N, 3) by the ten coefficients."""
    macros = dict(_BASE, gender=_GENDER[gender])
    targets: dict[str, float] = {}
    for factor, z in zip(FACTORS, coefficients, strict=True):
        for name, amount in factor.macros.items():
            macros[name] += z * amount
        for name, amount in factor.targets.items():
            targets[name] = targets.get(name, 0) + z * amount
    macros = {k: float(np.clip(x, 0, 1)) for k, x in macros.items()}
    vertices = data.vertices.copy()
    for name, amount in (_macro_targets(**macros) | targets).items():
        if amount < 0:
            name, amount = _opposite(name), -amount
        displacement = data.target(name)
        if displacement is not None:
            vertices += amount * displacement
    return vertices


def _opposite(name: str) -> str:
    return name.removesuffix('incr') + 'decr'


def _macro_targets(
    gender: float,
    muscle: float,
    weight: float,
    height: float,
    proportions: float,
) -> dict[str, float]:
    """MakeHuman's macro targets of a young adult, with their amounts.

    Targets exist for the corners of the parameter cube; MakeHuman multiplies
    the weights of the corners. A corner without a file needs no change of
    the base mesh.
    """
    amounts: dict[str, float] = {}
    for sex, of_sex in (('female', 1 - gender), ('male', gender)):
        kind = f'{sex}-young'
        for ancestry in _ANCESTRIES:
            amounts[f'{_MACRO}/{ancestry}-{kind}'] = of_sex / 3
        for muscle_name, of_muscle in _three(muscle, 'muscle').items():
            for weight_name, of_weight in _three(weight, 'weight').items():
                amount = of_sex * of_muscle * of_weight
                build = f'{kind}-{muscle_name}-{weight_name}'
                amounts[f'{_MACRO}/universal-{build}'] = amount
                low, high = 'minheight', 'maxheight'
                end, share = _two(height, low, high)
                amounts[f'{_MACRO}/height/{build}-{end}'] = amount * share
                low, high = 'uncommonproportions', 'idealproportions'
                end, share = _two(proportions, low, high)
                path = f'{_MACRO}/proportions/{build}-{end}'
                amounts[path] = amount * share
    return {name: amount for name, amount in amounts.items() if amount > 0}


def _three(x: float, what: str) -> dict[str, float]:
    """Weights of minimum, average and maximum at ``x`` in 0..1."""
    return {
        f'min{what}': max(0.0, 1 - 2 * x),
        f'average{what}': 1 - abs(2 * x - 1),
        f'max{what}': max(0.0, 2 * x - 1),
    }


def _two(x: float, low: str, high: str) -> tuple[str, float]:
    """The nearer end of the scale, and the weight of its target."""
    return (low, 1 - 2 * x) if x < 0.5 else (high, 2 * x - 1)
