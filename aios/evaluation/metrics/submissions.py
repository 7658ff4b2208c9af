# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Submissions to the servers of AGORA and BEDLAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from mmengine.logging import print_log

from aios.evaluation.agora.evaluator import (
    SUBMITTED_FIELDS,
    agora_scale,
    submitted_person,
)
from aios.evaluation.agora.ground_truth import image_name
from aios.evaluation.agora.layout import BENCHMARKS, NUM_JOINTS
from aios.evaluation.agora.submission import SubmissionWriter
from aios.registry import METRICS
from aios.results import finite_predictions_of
from aios.utils.choices import check_choice

from .base import NumberMetric, records_by_name


class _Submission(NumberMetric):
    """Writes a submission; its metrics are counts.

    Predictions that are not finite are left out and counted.

    Args:
        out_dir: See
            :class:`aios.evaluation.agora.SubmissionWriter`.
        variant: ``'params'`` or ``'verts'``.
        score_thr: Persons with a lower score are left out.
        overwrite: Replace an older submission.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.
    """

    benchmark: str

    def __init__(
        self,
        out_dir: str,
        variant: str = 'params',
        score_thr: float = 0.5,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        allowed = BENCHMARKS[self.benchmark].variants
        check_choice('variant', variant, allowed)
        self.variant = variant
        self.score_thr = score_thr
        self.writer = SubmissionWriter(out_dir, self.benchmark, overwrite)

    def image(self, sample: Mapping[str, Any]) -> str:
        """Name of the image on the server."""
        raise NotImplementedError

    def scale(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Factors ``(2,)`` from pixels of the image to those submitted."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Write the persons of each image to a temporary folder."""
        for sample in data_samples:
            if (
                self.variant == 'verts'
                and 'vertices' not in sample['pred_instances']
            ):
                raise ValueError(
                    f'{sample["img_path"]}: predictions have no vertices; '
                    'set test_cfg.with_vertices=True in the model'
                )
            persons, broken = finite_predictions_of(
                sample, self.score_thr, SUBMITTED_FIELDS
            )
            joints = persons['joints2d'][:, :NUM_JOINTS] * self.scale(sample)
            order = np.argsort(-persons['scores'], kind='stable')
            contents = [
                submitted_person(persons, row, joints, self.variant)
                for row in order
            ]
            image = self.image(sample)
            paths = self.writer.write(image, contents)
            scores = np.asarray(persons['scores'], float)[order].tolist()
            self.results.append(
                {
                    'image': image,
                    'img_path': sample['img_path'],
                    'broken': broken,
                    'files': dict(zip(paths, scores, strict=True)),
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Publish the files of all processes as a submission."""
        images = records_by_name(
            results,
            'image',
            'submission name',
            'test one resolution and one folder at a time',
        )
        files: dict[str, float] = {}
        for record in images.values():
            files |= record['files']
        archive = self.writer.publish(files)
        print_log(
            f'wrote {len(files)} persons of {len(images)} images to {archive}',
            logger='current',
        )
        broken = sum(record['broken'] for record in images.values())
        empty = sum(not record['files'] for record in images.values())
        return {
            'images': len(images),
            'images-without-persons': empty,
            'persons': len(files),
            'predictions-not-finite': broken,
        }


@METRICS.register_module()
class AGORASubmission(_Submission):
    """``predictions.zip`` for https://agora-evaluation.is.tuebingen.mpg.de.

    One file per person, ``<image>_personId_<k>.pkl``, best first; keypoints
    in pixels at 3840 x 2160, whatever the resolution of the images.

    Args:
        out_dir: The result: ``predictions/``, ``predictions.zip`` and
            ``scores.json``, which ``tools/eval_agora.py`` uses in sweeps.
        variant: ``'params'``: parameters, posed by the server; ``'verts'``:
            meshes, for body models the server does not have.
        score_thr: Persons with a lower score are left out.
        overwrite: Replace an older submission.  Otherwise a folder that is
            not empty raises an error before any computation.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileExistsError: If ``out_dir`` is not empty.
    """

    default_prefix = 'agora_submission'
    benchmark = 'agora'

    def image(self, sample: Mapping[str, Any]) -> str:
        """Stem of the image at 3840 x 2160."""
        return image_name(sample['img_path'])

    def scale(self, sample: Mapping[str, Any]) -> np.ndarray:
        """To 3840 x 2160."""
        return agora_scale(sample['img_path'], sample['ori_shape'])


@METRICS.register_module()
class BEDLAMSubmission(_Submission):
    """``predictions.zip`` for https://bedlam.is.tue.mpg.de.

    Meshes only, ``<scene>_frameID_<frame>_personId_<k>.pkl``; keypoints in
    pixels of the images, which must lie in
    ``.../<scene>/png/<sequence>/<frame>.png``.

    Args:
        out_dir: See :class:`AGORASubmission`.
        score_thr: Persons with a lower score are left out.
        overwrite: See :class:`AGORASubmission`.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileExistsError: If ``out_dir`` is not empty.
    """

    default_prefix = 'bedlam_submission'
    benchmark = 'bedlam'

    def __init__(
        self,
        out_dir: str,
        score_thr: float = 0.7,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(out_dir, 'verts', score_thr, overwrite, **kwargs)

    def image(self, sample: Mapping[str, Any]) -> str:
        """Scene and frame."""
        return bedlam_name(sample['img_path'])

    def scale(self, sample: Mapping[str, Any]) -> np.ndarray:
        """Pixels of the image itself."""
        return np.ones(2)


def bedlam_name(img_path: str) -> str:
    """Name of an image of BEDLAM in submissions.

    Raises:
        ValueError: If it does not lie in ``<scene>/png/<sequence>``.
    """
    path = PurePosixPath(img_path.replace('\\', '/'))
    if len(path.parts) < 4 or path.parts[-3] != 'png':
        raise ValueError(
            f'{img_path}: the path of a BEDLAM image must end with '
            '<scene>/png/<sequence>/<frame>.png'
        )
    return f'{path.parts[-4]}_frameID_{path.stem}'
