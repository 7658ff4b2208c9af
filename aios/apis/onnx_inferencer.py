# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The inferencer on an exported detector."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from aios.deploy import OnnxDetector, read_description
from aios.deploy.export import make_session
from aios.version import __version__

from .inferencer import AiOSInferencer
from .preparation import find_pipeline

__all__ = ['OnnxInferencer', 'describe_model']

_HEAD = ('type', 'num_classes', 'embed_dims', 'body_model')


def describe_model(
    config: Mapping[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    """What an exported file has to say about itself.

    Args:
        config: Of the detector.
        size: ``(height, width)`` of its images.

    Returns:
        See :func:`aios.deploy.read_description`.

    Raises:
        ValueError: If the config's test pipeline does not resize.
    """
    steps = [dict(step) for step in find_pipeline(config)]
    resizes = [s for s in steps if s['type'].endswith('WholeBodyResize')]
    if len(resizes) != 1:
        raise ValueError(
            'the test pipeline of the config must have one WholeBodyResize, '
            f'it has {[step["type"] for step in steps]}'
        )
    resizes[0].update(type='WholeBodyFit', scale=size[::-1])
    model = config['model']
    head = {k: v for k, v in model['bbox_head'].items() if k in _HEAD}
    return dict(
        aios_version=__version__,
        size=size,
        config=dict(
            model=dict(
                bbox_head=dict(head, stages=model['decoder']['stages']),
                test_cfg=model.get('test_cfg'),
            ),
            test_dataloader=dict(dataset=dict(pipeline=steps)),
        ),
    )


class OnnxInferencer(AiOSInferencer):
    """Finds persons with a network that ``export_model.py`` wrote.

    Images are resized so that they fit into the size of the network.

    Args:
        path: The ``.onnx`` file.
        device: ``'cpu'`` or ``'cuda'``: where ONNX Runtime works.
        num_threads: Its threads on the CPU; default: as many as cores.
        **options: Other arguments of :class:`AiOSInferencer`.

    Raises:
        ExportError: If ONNX Runtime is not there.
        FileNotFoundError: If the file is not there.
        ValueError: If it is no such file.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        device: str = 'cpu',
        num_threads: int | None = None,
        **options: Any,
    ) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path}: there is no such file')
        self._session = make_session(path, device, num_threads)
        description = read_description(self._session, path)
        self.size: tuple[int, int] = description['size']
        # Persons are selected and posed by PyTorch, on the CPU.
        super().__init__(description['config'], path, 'cpu', **options)

    def _init_model(
        self, cfg: Config, weights: str | None, device: str = 'cpu'
    ) -> nn.Module:
        model = OnnxDetector(
            self._session,
            cfg.model.bbox_head,
            self.size,
            cfg.model.get('test_cfg'),
        )
        return model.eval()
