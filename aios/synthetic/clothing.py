# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Clothes and hair with volume.

Vertices covered by cloth or hair are displaced along their normals.  Labels
remain those of the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios.structures import vertex_normals
from aios.synthetic.appearance import Outfit, dress_body
from aios.synthetic.bodies import BodyTemplate

_MIX = 12  # waves per pattern of folds or spots


@dataclass(frozen=True)
class Garb:
    """Colors, displacement and shading by cloth and hair.

    Attributes:
        colors: ``(V, 3)`` RGB in 0..1.
        push: ``(V,)`` meters outwards along the normals.
        shade: ``(V,)`` light in folds, 0 to 1.
    """

    colors: np.ndarray
    push: np.ndarray
    shade: np.ndarray


def _mix(rng: np.random.Generator, waves: np.ndarray) -> np.ndarray:
    """``(V,)`` smooth random pattern, standard deviation about one."""
    picks = rng.choice(len(waves), _MIX, replace=False)
    weights = rng.normal(size=_MIX).astype(np.float32)
    weights *= np.sqrt(2.0) / np.linalg.norm(weights)
    return weights @ waves[picks]


def sample_garb(
    rng: np.random.Generator, template: BodyTemplate, outfit: Outfit
) -> Garb:
    """Draws folds, looseness, mottling and prints of an outfit.

    Args:
        rng: Random generator.
        template: Rest body of the person's gender.
        outfit: The outfit.

    Returns:
        The clothes and hair.
    """
    colors, cover = dress_body(template, outfit)
    top, bottom, hair = cover.T
    cloth = np.maximum(top, bottom)
    waves = template.waves
    puff, fold = _mix(rng, waves['puff']), _mix(rng, waves['fold'])
    fine = _mix(rng, waves['fine'])
    if rng.random() < 0.3:
        colors = _print(rng, colors, top, waves, outfit.top_colors[1])
    # Most dyes are desaturated.
    gray = colors.mean(1, keepdims=True)
    colors = gray + (1 - rng.uniform(0, 0.7) * cloth[:, None]) * (
        colors - gray
    )
    loose = rng.uniform(0.003, 0.024, 2)
    push = top * loose[0] + bottom * loose[1]
    push *= np.maximum(1 + 0.45 * puff + 0.4 * fold, 0)
    volume = rng.uniform(0.006, 0.03)
    push += hair * volume * np.clip(1 + 0.3 * fine + 0.2 * puff, 0.2, 2)
    depth = cloth * loose.max() / 0.024 + 0.5 * hair
    shade = 1 - 0.14 * depth * np.clip(-fold, 0, 2)
    shade *= 1 - 0.15 * hair * np.clip(-fine, 0, 2)
    tone = 1 + (0.03 + 0.03 * cloth + 0.06 * hair) * fine
    tone += rng.uniform(0, 0.025) * cloth * puff
    mottled = colors * tone[:, None]
    # Redness of skin varies.
    skin = np.clip(1 - cloth - hair, 0, 1)
    mottled[:, 0] += 0.025 * skin * puff
    return Garb(
        np.clip(mottled, 0, 1).astype(np.float32),
        push.astype(np.float32),
        shade.astype(np.float32),
    )


def _print(
    rng: np.random.Generator,
    colors: np.ndarray,
    top: np.ndarray,
    waves: dict[str, np.ndarray],
    color: np.ndarray,
) -> np.ndarray:
    """Blotches of a second color, from camouflage to small flowers."""
    kind = str(rng.choice(['puff', 'fold', 'fine']))
    spots = _mix(rng, waves[kind]) - rng.uniform(-0.3, 1.0)
    cover = top * np.clip(0.5 + 2 * spots, 0, 1)
    return colors + cover[:, None] * (color - colors)


def dress_person(
    garb: Garb, vertices: np.ndarray, normals: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a dressed person.

    Args:
        garb: Clothes and hair.
        vertices: ``(V, 3)`` of the body.
        normals: ``(V, 3)`` of the body, outwards.
        faces: ``(F, 3)``.

    Returns:
        Vertices and normals ``(V, 3)``.
    """
    pushed = vertices + normals * garb.push[:, None]
    return pushed, vertex_normals(pushed, faces)
