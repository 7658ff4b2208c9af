# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Load images and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine import fileio

from aios.registry import TRANSFORMS
from aios.structures import GT_FIELDS, PERSON_LABEL
from aios.utils.images import decode_image

from .base import Transform
from .label_geometry import note_geometry, rescale_labels, start_record

# A larger change means another or a rotated image.
_MAX_ASPECT_CHANGE = 0.02


@TRANSFORMS.register_module()
class LoadImage(Transform):
    """Decode an image.

    Labels refer to the stored pixels, so the EXIF orientation is ignored (as
    in AiOS).  Decoded frames of a video are only converted to the dtype.

    Adds ``img`` ``(H, W, 3)`` BGR in 0..255, ``img_shape`` and ``ori_shape``
    ``(H, W)``.

    Args:
        to_float32: Whether ``img`` is float32 (as published) or uint8
            (a quarter of the memory traffic, rounded after each step).
        backend_args: Storage back-end of :mod:`mmengine.fileio`.
    """

    def __init__(
        self,
        to_float32: bool = True,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        self.to_float32 = to_float32
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']``, or take ``results['img']``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If OpenCV cannot decode the image, it is too large,
                or the array is not an 8-bit color image.
        """
        img = results.get('img')
        if img is None:
            img = self._read(results['img_path'], _place(results))
        else:
            _check_array(img, _place(results))
        results['img'] = img.astype(np.float32) if self.to_float32 else img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, path: str, where: str) -> np.ndarray:
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'{path} does not exist ({where})'
            ) from error
        return decode_image(content, f'{path} ({where})')


def _check_array(img: Any, where: str) -> None:
    """Reject arrays that are not 8-bit color images."""
    if not isinstance(img, np.ndarray):
        raise ValueError(
            f'img must be an array, got {type(img).__name__} ({where})'
        )
    if img.ndim != 3 or img.shape[2] != 3 or 0 in img.shape:
        raise ValueError(
            f'img must have shape (H, W, 3), BGR, got {img.shape} ({where}); '
            'convert gray or transparent images with cv2.cvtColor'
        )
    if img.dtype != np.uint8 and img.dtype.kind != 'f':
        raise ValueError(
            f'img must be uint8 or floating point with values in 0..255, got '
            f'{img.dtype} ({where})'
        )


@TRANSFORMS.register_module()
class LoadHumanAnnotations(Transform):
    """Load the labels of an image into the pipeline.

    Adds ``gt_persons``, a dictionary of the fields of
    :data:`aios.structures.GT_FIELDS` as arrays, and the record of the
    geometry: ``homography_matrix`` ``(3, 3)`` (original to current pixels),
    ``scale_factor`` ``(sx, sy)``, ``crop_offset`` ``(x0, y0)``, ``flip``.

    Args:
        rescale_if_mismatch: Scale the labels if the sizes of image and
            annotation differ (AGORA at 1280 × 720 with labels at
            3840 × 2160).  By default a mismatch raises an error.
    """

    def __init__(self, rescale_if_mismatch: bool = False) -> None:
        self.rescale_if_mismatch = rescale_if_mismatch

    def transform(self, results: dict) -> dict:
        """Load ``results['instances_arrays']``.

        Without them, as in MMDetection's ``inference_detector``, only the
        record of the geometry is initialized.

        Raises:
            ValueError: If the sizes of image and annotation differ, or a
                field of the labels is missing or wrong.
        """
        if 'instances_arrays' not in results:
            start_record(results)
            return results
        results = _PersonRecord(results)
        results['gt_persons'] = {
            name: np.asarray(values)
            for name, values in results['instances_arrays'].items()
        }
        _check_labels(results)
        start_record(results)
        annotated = (results['height'], results['width'])
        decoded = tuple(results.get('img_shape', annotated))
        results['img_shape'] = annotated
        if decoded != annotated:
            self._check_mismatch(results, decoded, annotated)
            rescale_labels(results, decoded)
            # The decoded image is the original from now on.
            start_record(results)
            results['height'], results['width'] = decoded
        note_geometry(results)
        return results

    def _check_mismatch(
        self,
        results: dict,
        decoded: tuple[int, int],
        annotated: tuple[int, int],
    ) -> None:
        sy, sx = (d / a for d, a in zip(decoded, annotated, strict=True))
        if abs(sx / sy - 1) > _MAX_ASPECT_CHANGE:
            advice = 'the aspect differs: a turned or a wrong image'
        elif not self.rescale_if_mismatch:
            advice = 'set rescale_if_mismatch=True to scale the labels'
        else:
            return
        raise ValueError(
            f'{results["img_path"]} has height, width {decoded}, but its '
            f'annotation {annotated} ({_place(results)}); {advice}'
        )


def _check_labels(results: dict) -> None:
    """Check the labels, which a dataset of another project may provide."""
    persons = results['gt_persons']
    where = f'{results.get("img_path", "an image")} ({_place(results)})'
    count = len(persons.get('labels', ()))
    for name, field in GT_FIELDS.items():
        if name not in persons:
            raise ValueError(
                f'{where}: instances_arrays lack {name!r}; they must have all '
                'fields of aios.structures.GT_FIELDS'
            )
        shape = count, *field.shape
        if persons[name].shape != shape:
            raise ValueError(
                f'{where}: {name} must have shape {shape}, got '
                f'{persons[name].shape}'
            )
    labels, boxes = persons['labels'], persons['bboxes']
    if (labels < PERSON_LABEL).any():
        raise ValueError(
            f'{where}: labels must be at least {PERSON_LABEL}, the class '
            f'person, got {labels.tolist()}'
        )
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(1)
    if inverted.any():
        raise ValueError(
            f'{where}: bboxes must be x0, y0, x1, y1, got '
            f'{boxes[inverted.argmax()].tolist()}'
        )


class _PersonRecord(dict):
    """Explains missing ``gt_bboxes`` to MMDetection's Mosaic and MixUp.

    They run in ``mmdet.MultiImageMixDataset``, after our pipeline.
    """

    def __missing__(self, key: str) -> None:
        if str(key).startswith('gt_bboxes'):
            raise KeyError(
                f'{key}: person labels are in gt_persons; transforms of '
                'gt_bboxes, such as Mosaic and MixUp, are not supported '
                '(see docs/en/human_data.md#transforms)'
            )
        raise KeyError(key)


def _place(results: dict) -> str:
    name = results.get('dataset_name', 'dataset')
    return f'{name}, sample {results.get("sample_idx", "?")}'
