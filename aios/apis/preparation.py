# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Convert frames to inputs of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from aios.datasets.transforms.label_geometry import start_record
from aios.registry import TRANSFORMS
from aios.structures.tiles import enlarged_resize
from aios.utils.openmmlab import type_name

from .frames import Frame

DEFAULT_PIPELINE = (
    dict(type='LoadImage'),
    dict(type='WholeBodyResize', scale=(1333, 800)),
    dict(type='PackWholeBodyInputs'),
)
"""Pipeline of configs without a test dataset, with the published size."""

_LABELS = ('LoadHumanAnnotations', 'FilterWholeBody')


def build_pipeline(config: Mapping[str, Any], tiles: int = 1) -> Compose:
    """Build the test pipeline of a config, without steps that need labels.

    Args:
        config: Its first test dataset is used.
        tiles: Factor of the size of images.

    Raises:
        ValueError: If the size of images cannot be changed.
    """
    steps = find_pipeline(config)
    if tiles > 1:
        resizing = [type_name(step) == 'WholeBodyResize' for step in steps]
        if not any(resizing):
            raise ValueError(
                'tiles need WholeBodyResize in the test pipeline, which has '
                f'{", ".join(map(type_name, steps))}'
            )
        steps = [
            enlarged_resize(step, tiles) if resizes else step
            for step, resizes in zip(steps, resizing, strict=True)
        ]
    with DefaultScope.overwrite_default_scope('aios'):
        return Compose([TRANSFORMS.build(step) for step in steps])


def find_pipeline(config: Mapping[str, Any]) -> list[Any]:
    """Configs of the steps of :func:`build_pipeline`.

    Args:
        config: See :func:`build_pipeline`.
    """
    steps = _find_pipeline(config.get('test_dataloader')) or DEFAULT_PIPELINE
    return [step for step in steps if type_name(step) not in _LABELS]


def prepare(frame: Frame, pipeline: Compose) -> dict[str, Any]:
    """Convert a frame to an input of the network.

    Args:
        frame: With an image.
        pipeline: See :func:`build_pipeline`.
    """
    results = {
        'img': frame.image,
        'img_path': frame.name,
        'img_id': frame.index,
    }
    start_record(results)
    data = pipeline(results)
    sample = data['data_samples']
    width, height = frame.size
    # The image may be smaller than the original.
    if sample.ori_shape != (height, width):
        seen_height, seen_width = sample.img_shape
        sample.set_metainfo(
            dict(
                ori_shape=(height, width),
                scale_factor=(seen_width / width, seen_height / height),
            )
        )
    return data


def _find_pipeline(dataset: Any) -> list[Any] | None:
    """First pipeline of a data loader, or of the datasets inside."""
    if isinstance(dataset, (list, tuple)):
        found = map(_find_pipeline, dataset)
        return next((steps for steps in found if steps), None)
    if not isinstance(dataset, Mapping):
        return None
    if dataset.get('pipeline'):
        return list(dataset['pipeline'])
    inner = [dataset.get(name) for name in ('dataset', 'datasets')]
    return _find_pipeline(inner)
