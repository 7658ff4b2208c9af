# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Boxes, skeletons, labels and contact sheets on RGB images.

The ``draw_*`` functions change a uint8 image in place, as OpenCV's do, and
return it. Coordinates are pixels with centers at .5 (column j covers
[j, j + 1)), as everywhere in this package; OpenCV has them at whole numbers.

Symbols: ``n`` persons, ``J`` joints, ``H``, ``W`` image height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from aios.structures import JointSet, get_joint_set

from .palette import joint_colors

Color = Sequence[int]

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FAR = 30_000  # larger than any image, smaller than OpenCV's limit
_LINES_PER_IMAGE, _LINES_PER_PERSON = 300, 40  # sides in line widths
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    color: Color,
    thickness: int = 2,
) -> np.ndarray:
    """Draw the outlines of boxes.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, changed in place.
        boxes (np.ndarray): (n, 4) xyxy in pixels. Boxes that are not finite
            or have no area are left out.
        color (Sequence[int]): RGB, 0 to 255.
        thickness (int): Pixels.

    Returns:
        np.ndarray: ``image``.
    """
    _check_image(image)
    for box in np.asarray(boxes, np.float64).reshape(-1, 4):
        if np.isfinite(box).all() and (box[2:] > box[:2]).all():
            low, high = _fixed_point(box.reshape(2, 2))
            cv2.rectangle(
                image, low, high, color, thickness, cv2.LINE_AA, _SHIFT
            )
    return image


def draw_skeleton(
    image: np.ndarray,
    keypoints: np.ndarray,
    joint_set: str | JointSet,
    *,
    visible: np.ndarray | None = None,
    drawn: np.ndarray | None = None,
    thickness: int = 2,
) -> np.ndarray:
    """Draw the joints and bones of one person.

    Visible joints are discs, invisible ones rings; a bone is thick if both
    ends are visible and thin otherwise. Left is orange, right is blue, hands
    and face have their own colors.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, changed in place.
        keypoints (np.ndarray): (J, 2) pixels; those not finite are left out.
        joint_set (str | JointSet): Convention of the joints.
        visible (np.ndarray, optional): (J,) > 0 for visible joints. Default:
            all.
        drawn (np.ndarray, optional): (J,) > 0 for joints to draw. Default:
            all.
        thickness (int): Bones of the body in pixels; the others are thinner.

    Returns:
        np.ndarray: ``image``.

    Raises:
        ValueError: If the number of joints is not that of the set.
    """
    _check_image(image)
    joint_set = get_joint_set(joint_set)
    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.shape != (len(joint_set), 2):
        raise ValueError(
            f'keypoints of set {joint_set.name!r} must have shape '
            f'({len(joint_set)}, 2), got {keypoints.shape}'
        )
    is_drawn = np.isfinite(keypoints).all(1) & _flags(drawn, joint_set)
    is_visible = is_drawn & _flags(visible, joint_set)
    keypoints = np.where(is_drawn[:, None], keypoints, 0)
    # Nearer in the same direction: clipped coordinates would turn bones.
    reach = np.abs(keypoints).max(1, keepdims=True)
    points = _fixed_point(keypoints * (_FAR / np.maximum(reach, _FAR)))
    colors = joint_colors(joint_set).tolist()
    body = set(joint_set.groups['body'])
    fine = max(1, thickness // 2)

    for a, b in joint_set.links:
        if is_drawn[a] and is_drawn[b]:
            # A bone with one end on the midline has the other end's color.
            end = b if joint_set.names[b].startswith(('left', 'right')) else a
            whole = is_visible[a] and is_visible[b] and {a, b} <= body
            cv2.line(
                image,
                points[a],
                points[b],
                colors[end],
                thickness if whole else fine,
                cv2.LINE_AA,
                _SHIFT,
            )
    for index in np.flatnonzero(is_drawn).tolist():
        radius = thickness + 1 if index in body else fine
        cv2.circle(
            image,
            points[index],
            radius << _SHIFT,
            colors[index],
            cv2.FILLED if is_visible[index] else 1,
            cv2.LINE_AA,
            _SHIFT,
        )
    return image


def draw_label(
    image: np.ndarray,
    text: str,
    position: Sequence[float],
    color: Color,
    scale: float = 0.5,
) -> np.ndarray:
    """Write a line of text on a filled rectangle.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, changed in place.
        text (str): Printable ASCII; other characters become ``?``.
        position (Sequence[float]): (x, y) of the rectangle's lower left
            corner in pixels. It is moved to lie inside the image.
        color (Sequence[int]): RGB of the rectangle; text is black or white.
        scale (float): Font size, 1 is about 22 pixels high.

    Returns:
        np.ndarray: ``image``.
    """
    _check_image(image)
    text = ''.join(c if 32 <= ord(c) < 127 else '?' for c in text)
    pen = max(1, round(1.5 * scale))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, pen)
    limit_x = image.shape[1] - width - 4
    x = int(np.clip(position[0], 0, max(0, limit_x)))
    y = int(np.clip(position[1], height + below + 4, image.shape[0]))
    top = y - height - below - 4
    cv2.rectangle(image, (x, top), (x + width + 4, y), color, cv2.FILLED)
    bright = np.dot(color, (0.299, 0.587, 0.114)) > 140
    ink = (0, 0, 0) if bright else (255, 255, 255)
    origin = (x + 2, y - below - 2)
    cv2.putText(image, text, origin, _FONT, scale, ink, pen, cv2.LINE_AA)
    return image


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int | None = None,
    cell_size: tuple[int, int] = (360, 480),
    captions: Sequence[str] | None = None,
    gap: int = 6,
) -> np.ndarray:
    """Arrange images in a grid of equal cells.

    Args:
        images (Sequence[np.ndarray]): (H, W, 3) uint8 RGB images of any
            sizes, at least one.
        columns (int, optional): Images per row. Default: about the number of
            rows.
        cell_size (tuple[int, int]): Height and width of a cell in pixels.
        captions (Sequence[str], optional): A line of text per image.
        gap (int): Pixels between cells.

    Returns:
        np.ndarray: (rows * (h + gap) + gap, columns * (w + gap) + gap, 3)
        uint8 RGB.

    Raises:
        ValueError: If there is no image, fewer or more captions than
            images, or ``columns`` is not positive.
    """
    if not images:
        raise ValueError('a contact sheet needs at least one image')
    if captions is not None and len(captions) != len(images):
        raise ValueError(
            f'{len(captions)} captions do not fit {len(images)} images'
        )
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    if columns < 1:
        raise ValueError(f'columns must be positive, got {columns}')
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = cell_size
    sheet = np.full(
        (rows * (height + gap) + gap, columns * (width + gap) + gap, 3),
        32,
        np.uint8,
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        cell = sheet[top : top + height, left : left + width]
        fit_into(image, cell)
        if captions is not None:
            draw_label(cell, captions[index], (0, height), (32, 32, 32), 0.45)
    return sheet


def fit_into(image: np.ndarray, cell: np.ndarray) -> None:
    """Resize an image into the middle of a cell, keeping its aspect ratio.

    Args:
        image: ``(H, W, 3)`` uint8.
        cell: ``(height, width, 3)`` uint8, written in place; pixels beside
            the image stay as they are.
    """
    _check_image(image)
    scale = min(np.divide(cell.shape[:2], image.shape[:2]))
    height, width = (max(1, round(scale * n)) for n in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    top = (cell.shape[0] - height) // 2
    left = (cell.shape[1] - width) // 2
    cell[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=method
    )


def line_width(image: np.ndarray, box: np.ndarray | None = None) -> int:
    """Thickness of lines in pixels, proportional to the image size.

    Args:
        image: ``(H, W, 3)``.
        box: ``(4,)`` xyxy of a person, whose lines are thinner if it is
            small.
    """
    width = min(image.shape[:2]) / _LINES_PER_IMAGE
    if box is not None:
        width = min(width, max(box[2:] - box[:2]) / _LINES_PER_PERSON)
    return max(1, round(width))


def _fixed_point(points: np.ndarray) -> list[tuple[int, int]]:
    """Pixel coordinates (N, 2) in OpenCV's fixed-point format."""
    fixed = (points.clip(-_FAR, _FAR) - 0.5) * (1 << _SHIFT)
    return [(x, y) for x, y in np.rint(fixed).astype(int).tolist()]


def _flags(values: np.ndarray | None, joint_set: JointSet) -> np.ndarray:
    if values is None:
        return np.ones(len(joint_set), bool)
    values = np.asarray(values)
    if values.shape != (len(joint_set),):
        raise ValueError(
            f'flags of set {joint_set.name!r} must have shape '
            f'({len(joint_set)},), got {values.shape}'
        )
    return values > 0


def _check_image(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'an image must be (H, W, 3) uint8, got {image.shape} '
            f'{image.dtype}'
        )
