# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of predictions next to ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample
from mmengine import fileio
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from aios.evaluation.samples import ground_truth_of
from aios.registry import HOOKS
from aios.results import predictions_of
from aios.structures import GT_FIELDS, convert_joints
from aios.utils.digests import digest
from aios.utils.images import decode_image
from aios.visualization import write_image
from aios.visualization.local_visualizer import WholeBodyVisualizer


@HOOKS.register_module()
class WholeBodyVisualizationHook(Hook):
    """Draws some images in each validation, and optionally all in tests.

    Ground truth is on the left, predictions on the right.  Each validation
    sends the same images, spread over the dataset, to the backends of the
    visualizer.  Meshes need a ``body_model`` in the visualizer's config.

    Args:
        num_images: Number of images in each validation; 0 for none.
        score_thr: Minimum score of the persons drawn.
        test_out_dir: Folder for the images of tests, relative to the
            folder of the run; default: none are written.
        show: Open a window for each image of a test.
        wait_time: Seconds until the window closes, 0 for a key press.
        backend_args: Storage back-end of :mod:`mmengine.fileio`.

    Raises:
        ValueError: If ``num_images`` is negative, or at the start of a
            training or test, if the visualizer cannot draw persons.
    """

    def __init__(
        self,
        num_images: int = 4,
        score_thr: float = 0.3,
        test_out_dir: str | None = None,
        show: bool = False,
        wait_time: float = 0,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if num_images < 0:
            raise ValueError(
                f'num_images must not be negative, got {num_images}'
            )
        self.num_images = num_images
        self.score_thr = score_thr
        self.test_out_dir = test_out_dir
        self.show = show
        self.wait_time = wait_time
        self.backend_args = backend_args

    def before_train(self, runner: Runner) -> None:
        """Check the visualizer, before the first validation needs it."""
        if self.num_images:
            _check_visualizer(runner)

    def before_test(self, runner: Runner) -> None:
        """Check the visualizer, if images are drawn."""
        if self._draws_tests:
            _check_visualizer(runner)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[DetDataSample] | None = None,
    ) -> None:
        """Draw the first image of some batches."""
        if not outputs or batch_idx not in self._drawn_batches(runner):
            return
        sample = outputs[0]
        runner.visualizer.add_image(
            f'val_{_name(sample, runner.val_dataloader)}',
            self._draw(runner, sample),
            step=runner.epoch if runner.epoch else runner.iter,
        )

    def _drawn_batches(self, runner: Runner) -> set[int]:
        batches = len(runner.val_dataloader)
        count = min(self.num_images, batches)
        # Only rank 0 has backends.
        if not count or runner.rank:
            return set()
        return set(np.linspace(0, batches - 1, count).round().tolist())

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[DetDataSample] | None = None,
    ) -> None:
        """Draw all images, if enabled."""
        if not self._draws_tests:
            return
        for sample in outputs or ():
            image = self._draw(runner, sample)
            name = _name(sample, runner.test_dataloader)
            if self.test_out_dir is not None:
                folder = Path(runner.work_dir, runner.timestamp)
                path = folder / self.test_out_dir / f'{name}.jpg'
                write_image(image, path, overwrite=True)
            if self.show:
                runner.visualizer.show(
                    image, win_name=name, wait_time=self.wait_time
                )

    @property
    def _draws_tests(self) -> bool:
        return self.show or self.test_out_dir is not None

    def _draw(self, runner: Runner, sample: DetDataSample) -> np.ndarray:
        content = fileio.get(sample.img_path, backend_args=self.backend_args)
        image = decode_image(content, sample.img_path)
        return draw_sample(
            runner.visualizer, image[..., ::-1], sample, self.score_thr
        )


def _check_visualizer(runner: Runner) -> None:
    if not hasattr(runner.visualizer, 'draw_persons'):
        raise ValueError(
            'WholeBodyVisualizationHook needs a visualizer of type '
            f'WholeBodyVisualizer, got {type(runner.visualizer).__name__}; '
            'change visualizer, or set default_hooks.visualization=None'
        )


def draw_sample(
    visualizer: WholeBodyVisualizer,
    image: np.ndarray,
    sample: DetDataSample,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Ground truth and predictions of a sample, side by side.

    Args:
        visualizer: The visualizer.
        image: ``(H, W, 3)`` uint8 RGB, the original image.
        sample: Sample with ``pred_instances`` in original pixels, and
            optionally ``gt_instances``.
        score_thr: Minimum score of the persons drawn.

    Returns:
        ``(H, 2 W, 3)`` uint8 RGB; ``(H, W, 3)`` without ground truth.
    """
    image = np.ascontiguousarray(image)
    fields = sample.to_dict()
    predicted = _displayed(predictions_of(fields, score_thr))
    views = [_draw_persons(visualizer, image, predicted)]
    if 'gt_instances' in sample:
        true = ground_truth_of(fields)
        views.insert(0, _draw_persons(visualizer, image, true))
    return np.concatenate(views, axis=1)


def _draw_persons(
    visualizer: WholeBodyVisualizer, image: np.ndarray, persons: Mapping
) -> np.ndarray:
    fields = dict(persons)
    camera = fields.pop('cam_K', None)
    return visualizer.draw_persons(image, InstanceData(**fields), camera)


def _displayed(persons: Mapping[str, Any]) -> dict[str, Any]:
    """Predicted persons with the fields that the visualizer draws."""
    names = ('scores', 'cam_K', *(n for n in GT_FIELDS if 'bboxes' in n))
    shown = {name: persons[name] for name in names if name in persons}
    if 'joints2d' in persons:
        shown['keypoints'], _ = convert_joints(
            persons['joints2d'], 'smplx_144', 'smplx_137'
        )
    if 'vertices' in persons:
        shown['vertices'] = (
            persons['vertices'] + persons['smplx_transl'][:, None]
        )
    return shown


def _name(sample: DetDataSample, loader: Any) -> str:
    """Name of a sample, unique in the dataset of the loader."""
    name = f'{sample.img_id:06d}_{Path(sample.img_path).stem}'
    if len(getattr(loader.dataset, 'datasets', ())) < 2:
        return name
    # All concatenated datasets number from 0.
    source = sample.get('dataset_name', ''), sample.img_path
    return f'{name}_{digest(source)[:8]}'
