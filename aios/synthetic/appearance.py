# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Vertex colors of bodies: skin, hair, eyes, lips and clothes.

Garments are regions of the rest body whose borders are fractions of limbs,
so they fit every body in the SMPL-X format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aios.synthetic.bodies import BodyTemplate
from aios.synthetic.textures import random_hue


def _colors(*rows: tuple[int, int, int]) -> np.ndarray:
    """Colors (n, 3) in 0..1, given in 0..255."""
    return np.array(rows) / 255.0


# Skin from light to dark, sRGB, interpolated between neighbors.
_SKINS = _colors(
    (246, 222, 205),
    (236, 200, 175),
    (217, 170, 138),
    (187, 134, 100),
    (146, 98, 70),
    (100, 65, 48),
    (66, 44, 36),
)
_HAIRS = _colors(
    (26, 22, 20),
    (48, 34, 26),
    (86, 56, 36),
    (132, 92, 54),
    (196, 156, 96),
    (150, 70, 36),
    (150, 148, 146),
    (215, 213, 208),
)
_EYES = _colors((70, 44, 26), (96, 70, 38), (90, 120, 140), (96, 116, 84))
# Common colors of clothes; others are drawn from all hues.
_BASICS = _colors(
    (24, 25, 28),
    (60, 62, 66),
    (120, 122, 125),
    (235, 235, 232),
    (38, 48, 78),
    (62, 84, 122),
    (96, 116, 148),
    (112, 92, 70),
    (176, 156, 124),
    (74, 80, 58),
    (120, 32, 38),
)

_TORSO = (0, 3, 6, 9, 13, 14, 16, 17, 12)
_LEGS, _ARMS = ((1, 4, 7), (2, 5, 8)), ((16, 18, 20), (17, 19, 21))
_SOFT = 0.018  # meters over which the border of a garment fades
_PATTERNS = (
    'plain',
    'plain',
    'plain',
    'plain',
    'stripes',
    'bars',
    'checks',
    'yoke',
    'print',
)
_TOPS = {
    'tank': (0.0, 0.0),
    't_shirt': (0.55, 0.0),
    'sleeves': (1.0, 0.93),
    'rolled': (1.0, 0.3),
    'jacket': (1.0, 0.95),
}
_BOTTOMS = {
    'trousers': (1.0, 0.93),
    'shorts': (0.75, 0.0),
    'hot_pants': (0.3, 0.0),
    'capri': (1.0, 0.45),
    'skirt': (0.95, 0.0),
}


@dataclass(frozen=True)
class Outfit:
    """Appearance of a person; colors are RGB in 0..1.

    Attributes:
        skin, hair, eyes, lips: Colors.
        hair_style: ``short``, ``long``, ``bald`` or ``cap``.
        forehead: Height of the hairline between brows (0) and crown (1).
        beard: Strength of a beard, 0 to 1.
        top, bottom: Keys of the garment tables.
        top_pattern, bottom_pattern: Pattern names.
        top_colors, bottom_colors: ``(2, 3)`` main and second color.
        shoes, socks: Colors.
        boots: Share of the shin that the footwear covers, 0 for shoes,
            negative for bare feet.
        frequency: Stripes per meter.
    """

    skin: np.ndarray
    hair: np.ndarray
    eyes: np.ndarray
    lips: np.ndarray
    hair_style: str
    forehead: float
    beard: float
    top: str
    bottom: str
    top_pattern: str
    bottom_pattern: str
    top_colors: np.ndarray
    bottom_colors: np.ndarray
    shoes: np.ndarray
    socks: np.ndarray
    boots: float
    frequency: float


def _cloth_color(rng: np.random.Generator, skin: np.ndarray) -> np.ndarray:
    """A color that differs from the skin."""
    for _ in range(8):
        color = _any_color(rng)
        if np.linalg.norm(color - skin) > 0.3:
            break
    return color


def _any_color(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.55:
        color = _BASICS[rng.integers(len(_BASICS))]
        return np.clip(color + rng.normal(0, 0.03, 3), 0.03, 0.97)
    return random_hue(rng, (60, 200), (70, 240))


def sample_outfit(rng: np.random.Generator, gender: str) -> Outfit:
    """Draws the appearance of a person.

    Args:
        rng: Random generator.
        gender: Only males grow beards.

    Returns:
        The outfit.
    """
    tone = rng.uniform(0, len(_SKINS) - 1)
    low = int(tone)
    skin = _SKINS[low] + (tone - low) * (
        _SKINS[min(low + 1, len(_SKINS) - 1)] - _SKINS[low]
    )
    skin = np.clip(skin + rng.normal(0, 0.012, 3), 0.05, 0.98)
    lips = skin * [0.92, 0.7, 0.7] + rng.uniform(0, 0.12) * np.array([1, 0, 0])
    hair = _HAIRS[rng.integers(len(_HAIRS))] * rng.uniform(0.75, 1.15)
    if tone > 3.5:  # dark skin has dark hair
        hair = _HAIRS[0] * rng.uniform(0.7, 1.6)
    colors = [
        np.stack([_cloth_color(rng, skin), _cloth_color(rng, skin)])
        for _ in range(2)
    ]
    boots = float(
        rng.choice(
            [-1.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.5],
            p=[0.12, 0.2, 0.2, 0.2, 0.1, 0.1, 0.08],
        )
    )
    styles = ['short', 'long', 'bald', 'cap']
    return Outfit(
        skin=skin,
        hair=np.clip(hair, 0, 1),
        eyes=_EYES[rng.integers(len(_EYES))],
        lips=np.clip(lips, 0, 1),
        hair_style=str(rng.choice(styles, p=[0.55, 0.25, 0.08, 0.12])),
        forehead=rng.uniform(0.3, 0.48),
        beard=float(
            (gender == 'male') * (rng.random() < 0.3) * rng.uniform(0.3, 0.9)
        ),
        top=str(rng.choice(list(_TOPS))),
        bottom=str(rng.choice(list(_BOTTOMS), p=[0.58, 0.2, 0.04, 0.08, 0.1])),
        top_pattern=str(rng.choice(_PATTERNS)),
        bottom_pattern='plain' if rng.random() < 0.85 else 'stripes',
        top_colors=colors[0],
        bottom_colors=colors[1],
        shoes=_cloth_color(rng, skin) * 0.8,
        socks=_cloth_color(rng, skin),
        boots=boots,
        frequency=rng.uniform(4, 10),
    )


class _Painter:
    """Paints an outfit on a template.

    Regions are coverages in 0..1 that rise over ``_SOFT`` meters, about one
    edge of the mesh, so that linear interpolation gives straight hems.
    """

    def __init__(self, template: BodyTemplate, outfit: Outfit) -> None:
        self.t, self.o = template, outfit
        self.v, self.j = template.vertices, template.joints
        self.colors = np.tile(outfit.skin, (len(self.v), 1))
        self.cover = np.zeros((3, len(self.v)))  # top, bottom, hair

    def region(
        self, make: Callable[..., np.ndarray], *arguments: Any
    ) -> np.ndarray:
        """Result of ``make``, cached by template; read-only."""
        key = (make.__name__, *arguments)
        if key not in self.t.regions:
            made = make(self, *arguments)
            made.setflags(write=False)
            self.t.regions[key] = made
        return self.t.regions[key]

    def segments(self, *joints: int) -> np.ndarray:
        """``(V,)`` 1.0 where one of the joints dominates."""
        return self.region(_Painter._segments, *joints)

    def _segments(self, *joints: int) -> np.ndarray:
        table = np.zeros(55)
        table[list(joints)] = 1
        return table[self.t.segment]

    def before(self, joint: int, child: int, share: float) -> np.ndarray:
        """``(V,)`` coverage of a bone up to a share of its length."""
        return self.region(_Painter._before, joint, child, share)

    def _before(self, joint: int, child: int, share: float) -> np.ndarray:
        bone = self.j[child] - self.j[joint]
        length = np.linalg.norm(bone)
        along = (self.v - self.j[joint]) @ bone / length
        return _soft(share * length - along)

    def fill(self, coverage: np.ndarray, color: np.ndarray) -> None:
        self.colors += coverage[:, None] * (color - self.colors)

    def tube(
        self,
        bones: tuple[tuple[int, int, int], ...],
        ends: tuple[float, float],
    ) -> np.ndarray:
        """Coverage of limbs down to shares of their upper and lower bone."""
        cover = np.zeros(len(self.v))
        for root, mid, end in bones:
            upper, lower = self.segments(root), self.segments(mid)
            if ends[0] < 1:
                upper = upper * self.before(root, mid, ends[0])
                lower = lower * 0
            else:
                lower = lower * self.before(mid, end, ends[1])
            cover = np.maximum.reduce([cover, upper, lower])
        return cover


def _soft(distance: np.ndarray, width: float = _SOFT) -> np.ndarray:
    """Linear step from 0 to 1 over ``width`` meters around distance 0."""
    return np.clip(0.5 + distance / width, 0, 1)


def _pattern(
    name: str, v: np.ndarray, frequency: float, chest: float
) -> np.ndarray:
    """``(V,)`` coverage of the second color of a garment."""

    def wave(x: np.ndarray) -> np.ndarray:
        return np.clip(0.4 + 1.6 * np.cos(2 * np.pi * x * frequency), 0, 1)

    patterns: dict[str, Callable[[], np.ndarray]] = {
        'plain': lambda: np.zeros(len(v)),
        'stripes': lambda: wave(v[:, 1]),
        'bars': lambda: wave(v[:, 0]),
        'checks': lambda: 0.5 * wave(v[:, 1]) + 0.5 * wave(v[:, 0]),
        'yoke': lambda: _soft(v[:, 1] - chest),
        'print': lambda: (
            _soft(0.07 - np.hypot(v[:, 0], v[:, 1] - chest + 0.02))
            * (v[:, 2] > 0)
        ),
    }
    return patterns[name]()


def _waist(p: _Painter) -> float:
    return float(p.j[0, 1] + 0.35 * (p.j[3, 1] - p.j[0, 1]))


def _bottom(p: _Painter, kind: str) -> np.ndarray:
    """Coverage of the garment below the waist."""
    trunk = p.segments(*_TORSO) * _soft(_waist(p) - p.v[:, 1])
    return np.maximum(p.tube(_LEGS, _BOTTOMS[kind]), trunk)


def _top(p: _Painter, kind: str) -> np.ndarray:
    """Coverage of the garment above the waist."""
    v, j = p.v, p.j
    # The neckline is a circle around the neck joint.
    neck = np.linalg.norm((v - j[12]) * [1.0, 0.85, 0.9], axis=1)
    top = (
        p.segments(*_TORSO)
        * _soft(v[:, 1] - _waist(p))
        * _soft(neck - 0.09)
        * _soft(j[12, 1] + 0.03 - v[:, 1])
    )
    if kind == 'tank':
        return top * _soft(0.85 * j[16, 0] - np.abs(v[:, 0]))
    sleeves = p.tube(_ARMS, _TOPS[kind])
    return np.where(
        p.segments(16, 17) > 0,
        np.minimum(top, sleeves),
        np.maximum(top, sleeves),
    )


def _paint_clothes(p: _Painter) -> None:
    o, v, j = p.o, p.v, p.j
    chest = 0.5 * (j[9, 1] + j[16, 1])
    bottom, top = p.region(_bottom, o.bottom), p.region(_top, o.top)
    p.fill(bottom, o.bottom_colors[0])
    p.fill(
        bottom * _pattern(o.bottom_pattern, v, o.frequency, chest),
        o.bottom_colors[1],
    )
    p.fill(top, o.top_colors[0])
    if o.top == 'jacket':  # open in front, over a shirt
        open_front = top * _soft(0.06 - np.abs(v[:, 0]))
        p.fill(open_front * (v[:, 2] > j[9, 2]), o.top_colors[1])
    else:
        second = _pattern(o.top_pattern, v, o.frequency, chest)
        p.fill(top * second, o.top_colors[1])
    p.cover[:2] = top, bottom * (1 - top)


def _paint_feet(p: _Painter) -> None:
    o, v, j = p.o, p.v, p.j
    if o.boots < 0:
        return
    feet = p.segments(7, 8, 10, 11)
    shins = p.segments(4, 5)
    covered = np.where(
        v[:, 0] > 0, p.before(4, 7, 1 - o.boots), p.before(5, 8, 1 - o.boots)
    )
    if _BOTTOMS[o.bottom][1] < 0.9:
        above = np.where(
            v[:, 0] > 0, p.before(4, 7, 0.86), p.before(5, 8, 0.86)
        )
        p.fill(np.maximum(feet, shins * (1 - above)), o.socks)
    ankle = 0.5 * (j[7, 1] + j[8, 1])
    if o.boots > 0:
        p.fill(np.maximum(feet, shins * (1 - covered)), o.shoes)
    else:
        p.fill(feet * _soft(ankle + 0.01 - v[:, 1]), o.shoes)
    floor = v[feet > 0, 1].min()
    p.fill(
        feet * _soft(floor + 0.012 - v[:, 1], 0.008),
        np.clip(o.shoes * 0.4 + 0.1, 0, 1),
    )


def _scalp(p: _Painter, hairline: float) -> np.ndarray:
    """Coverage of the hair: above the hairline and behind the ears."""
    v, j = p.v, p.j
    ears = 0.5 * (j[58] + j[59])
    head = p.segments(15, 12)
    # The hairline descends from the forehead to the temples and the nape.
    back = ears[2] + 0.012 - v[:, 2]
    front = np.minimum(_soft(v[:, 1] - hairline, 0.012), p.segments(15))
    behind = np.minimum(
        _soft(back, 0.012), _soft(v[:, 1] - ears[1] + 0.05, 0.012)
    )
    temple = np.minimum(
        _soft(back + 0.035, 0.012), _soft(v[:, 1] - ears[1] - 0.03, 0.012)
    )
    cover = head * np.maximum.reduce([front, behind, temple])
    aside = np.abs(v[:, 0]) > np.abs(j[58:60, 0]).mean() - 0.006
    return np.where(aside & (v[:, 1] < ears[1] + 0.03), 0.0, cover)


def _paint_head(p: _Painter) -> None:
    o, v, j = p.o, p.v, p.j
    brows = j[76:86]
    ears = 0.5 * (j[58] + j[59])
    top = v[p.segments(15) > 0, 1].max()
    hairline = brows[:, 1].max() + o.forehead * (top - brows[:, 1].max())
    scalp = _scalp(p, hairline)
    if o.hair_style == 'long':
        nape = p.segments(9, 12, 13, 14, 15) * _soft(
            j[12, 2] - 0.005 - v[:, 2]
        )
        nape *= _soft(v[:, 1] - j[12, 1] + 0.12)
        scalp = np.maximum(scalp, nape * _soft(0.095 - np.abs(v[:, 0])))
    if o.hair_style != 'bald':
        p.fill(scalp, o.hair)
        p.cover[:2] *= 1 - scalp
        p.cover[2] = scalp
    if o.hair_style == 'cap':
        p.fill(scalp * _soft(v[:, 1] - hairline + 0.01), o.top_colors[1])
    if o.beard:
        mouth, chin = j[107:127].mean(0), j[135]
        low = p.segments(15, 22, 12) * _soft(mouth[1] + 0.018 - v[:, 1], 0.015)
        low *= _soft(v[:, 2] - ears[2] - 0.015) * _soft(
            v[:, 1] - chin[1] + 0.025
        )
        p.fill(low * o.beard * 0.7, o.hair)
    for first in (76, 81):
        brow = p.region(_near, first, first + 5, 0.005)
        p.fill(brow, 0.3 * o.skin + 0.55 * o.hair)
    p.fill(p.region(_lips), o.lips)


def _lips(p: _Painter) -> np.ndarray:
    """Coverage of the lips."""
    v, lips, eyes = p.v, p.j[107:127], 0.5 * (p.j[23] + p.j[24])
    center = lips.mean(0)
    width, height = np.ptp(lips[:, 0]) / 2, np.ptp(lips[:, 1]) / 2
    oval = np.hypot(
        (v[:, 0] - center[0]) / width, (v[:, 1] - center[1]) / height
    )
    front = p.segments(15, 22) * (v[:, 2] > eyes[2] - 0.02)
    return front * _soft(1.05 - oval, 0.4)


def _near(p: _Painter, first: int, end: int, radius: float) -> np.ndarray:
    """Coverage of the vertices close to a line of landmarks."""
    line = p.j[first:end]
    points = np.concatenate([line, 0.5 * (line[1:] + line[:-1])])
    head = p.t.part_vertices['face']
    distance = np.linalg.norm(p.v[head, None] - points, axis=-1).min(1)
    cover = np.zeros(len(p.v))
    cover[head] = _soft(radius - distance, 0.004)
    return cover


def _paint_eyes(p: _Painter) -> None:
    for joint in (23, 24):
        ball = p.segments(joint)
        if not ball.any():
            continue
        p.fill(ball, np.array([0.93, 0.92, 0.9]))
        p.fill(p.region(_around_pole, joint, 0.0068), p.o.eyes)
        p.fill(p.region(_around_pole, joint, 0.0032), np.full(3, 0.03))


def _around_pole(p: _Painter, joint: int, radius: float) -> np.ndarray:
    """Coverage of the front of an eyeball."""
    ball = p.segments(joint)
    points = p.v[ball > 0]
    pole = points.mean(0) + [0, 0, np.ptp(points[:, 2]) / 2]
    return ball * (np.linalg.norm(p.v - pole, axis=1) < radius)


def dress_body(
    template: BodyTemplate, outfit: Outfit
) -> tuple[np.ndarray, np.ndarray]:
    """Vertex colors of a dressed person, and coverage by clothes and hair.

    Args:
        template: Rest body of the person's gender.
        outfit: The outfit.

    Returns:
        ``(V, 3)`` float32 RGB in 0..1, and ``(V, 3)`` coverage in 0..1 by
        the top, the bottom and hair.
    """
    painter = _Painter(template, outfit)
    _paint_clothes(painter)
    _paint_feet(painter)
    _paint_head(painter)
    _paint_eyes(painter)
    colors = np.clip(painter.colors, 0, 1).astype(np.float32)
    return colors, painter.cover.T
