# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference with PyTorch (``docs/en/inference.md``).

Symbols: ``n`` persons, ``V`` vertices.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.infer import BaseInferencer
from tqdm import tqdm

from aios.models.heads import DecodingConfig
from aios.models.inference import prepare_for_inference
from aios.registry import INFERENCERS
from aios.results import FrameResult, predictions_of
from aios.results.plain import frame_as_dict
from aios.results.schema import DEFAULT_BODY_MODEL
from aios.structures.tiles import tiled_test_cfg
from aios.utils.command_line import set_options
from aios.utils.digests import digest, file_sha256
from aios.utils.shipped import SHIPPED_MODEL, shipped_weights
from aios.visualization import OverlayDrawer, OverlayOptions, write_image

from .batches import Batch, batches
from .cameras import CameraModel
from .frame_inferencer import FrameInferencer, readable
from .hub import hub_weights
from .instance_filter import InstanceFilter
from .model_files import (
    build_model,
    check_device,
    list_models,
    load_weights,
    read_model_config,
)
from .preparation import build_pipeline, prepare
from .record import source_folders
from .sources import Frame, open_sources
from .window import DEFAULT_LAYERS, show_image

__all__ = ['AiOSInferencer', 'InstanceFilter', 'frame_as_dict']


@INFERENCERS.register_module()
class AiOSInferencer(FrameInferencer, BaseInferencer):
    """Find the persons in images, videos and cameras.

    It is a :class:`FrameInferencer`, which has :meth:`stream`.

    Examples:
        >>> inferencer = AiOSInferencer()  # aios_s, or e.g. of the authors:
        >>> inferencer = AiOSInferencer('aios_r50', 'aios_checkpoint.pth')
        >>> inferencer('photo.jpg')['predictions'][0]['instances']
        >>> for frame in inferencer.stream('video.mp4', batch_size=8):
        ...     print(frame.name, frame.instances['transl'])

    Args:
        model: Config, config file, or a name of :meth:`list_models`;
            default: the config that is stored in the checkpoint.
        weights: Checkpoint of this package, or the published one; default:
            those of ``aios_s``, which come with the package, if no other
            model is given.
        device: ``'cpu'``, ``'cuda:1'``, ``'mps'``, ...; default: the best
            one available.
        score_thr: See :class:`InstanceFilter`.
        max_persons: See :class:`InstanceFilter`.
        nms_iou: See :class:`InstanceFilter`.
        focal_length: Focal length of the real camera, pixels of the original
            image.
        fov: Its horizontal field of view, degrees.
        intrinsics: Its ``(3, 3)`` matrix, or a file, see
            :func:`~aios.apis.cameras.load_intrinsics`.
        exif: Otherwise use the focal length in the EXIF data of image files.
            Without any of the four the network's virtual camera is used.
        batch_size: Images of the same size at once.
        cfg_options: Values to set in the config, by dotted name.
        tiles: For crowds and distant persons: enlarge images by this factor
            and also process them in so many overlapping tiles per side.
        show_progress: Show a progress bar during calls.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If config and checkpoint do not match.
        ValueError: If an option is invalid.
    """

    preprocess_kwargs = {'recursive', 'frame_interval', 'start', 'end', 'fps'}
    forward_kwargs = {'score_thr', 'max_persons', 'nms_iou', 'with_vertices'}
    visualize_kwargs = {'return_vis', 'show', 'wait_time', 'vis_out_dir'}
    postprocess_kwargs: set[str] = set()

    def __init__(
        self,
        model: str | os.PathLike | Mapping | None = None,
        weights: str | os.PathLike | None = None,
        device: str | None = None,
        *,
        score_thr: float = 0.3,
        max_persons: int | None = None,
        nms_iou: float | None = None,
        focal_length: float | None = None,
        fov: float | None = None,
        intrinsics: np.ndarray | str | os.PathLike | None = None,
        exif: bool = True,
        batch_size: int = 1,
        cfg_options: Mapping[str, Any] | None = None,
        tiles: int = 1,
        show_progress: bool = True,
    ) -> None:
        self._set_options(
            InstanceFilter(score_thr, max_persons, nms_iou),
            CameraModel.create(focal_length, fov, intrinsics, exif),
            batch_size,
        )
        if weights is None and model in (None, SHIPPED_MODEL):
            model, weights = None, shipped_weights()
        self.weights = weights
        self._content = None
        if model is None and weights is not None:
            self._content = load_weights(weights)  # for config and model
        config = read_model_config(model, weights, self._content)
        set_options(config, cfg_options)
        self._tiles = tiles
        if tiles != 1:
            test_cfg = tiled_test_cfg(config.model.get('test_cfg'), tiles)
            config.model.test_cfg = test_cfg
        self.device = device or get_device()
        check_device(self.device)
        super().__init__(
            config,
            weights if weights is None else str(weights),
            self.device,
            scope='aios',
            show_progress=show_progress,
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        revision: str | None = None,
        **options: Any,
    ) -> AiOSInferencer:
        """Load a model of :func:`~aios.apis.hub.hub_weights`.

        The config is stored with the weights, and read as data.

        Args:
            name: Folder, or repository of the Hugging Face Hub.
            revision: Branch, tag or commit of a repository.
            **options: Other arguments of the inferencer.
        """
        return cls(weights=hub_weights(name, revision), **options)

    @staticmethod
    def list_models(
        scope: str | None = None, patterns: str = '.*'
    ) -> list[str]:
        """Names for the argument ``model``.

        Args:
            scope: Not used.
            patterns: Regular expression from the beginning of the name.
        """
        return list_models(patterns)

    @property
    def faces(self) -> np.ndarray:
        """``(F, 3)`` triangles of the bodies."""
        return self.body_model.faces.cpu().numpy()

    @property
    def body_model(self) -> Any:
        """The body model.

        Raises:
            MissingBodyModelError: If its file is missing.
        """
        return self._head.body_model

    @property
    def body_model_name(self) -> str:
        """Name of the body model in results."""
        path = self._head.body_model_cfg.get('model_path')
        return str(path or DEFAULT_BODY_MODEL)

    @property
    def model_name(self) -> str:
        """Name of the model in results."""
        config = getattr(self.cfg, 'filename', None)
        return Path(config or self.weights or '').stem

    def fingerprint(self) -> dict[str, str]:
        """Digests of everything that results depend on besides options."""
        loading = dict(self.cfg.get('test_dataloader') or {})
        return dict(
            config=digest([str(self.cfg.model), str(loading.get('dataset'))]),
            checkpoint=self._weights_digest,
        )

    @cached_property
    def _weights_digest(self) -> str:
        weights = self.weights or ''
        is_file = Path(weights).is_file()  # or a URL
        return file_sha256(weights)[:16] if is_file else str(weights)

    @property
    def _head(self) -> Any:
        return self.model.bbox_head

    def _init_model(
        self, cfg: Any, weights: str | None, device: str = 'cpu'
    ) -> torch.nn.Module:
        content, self._content = self._content, None
        model: Any = build_model(cfg, weights, device, content)
        return prepare_for_inference(model)

    def _init_pipeline(self, cfg: Any) -> Compose:
        return build_pipeline(cfg, self._tiles)

    def _init_collate(self, cfg: Any) -> Any:
        return pseudo_collate

    def _init_visualizer(self, cfg: Any) -> None:
        return None  # frames are drawn by `OverlayDrawer`

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Find persons, and return all results.

        Args:
            inputs: See :func:`~aios.apis.sources.open_sources`; arrays are
                BGR, as in OpenCV.
            return_datasamples: Return the model's ``DetDataSample`` instead
                of dictionaries; they refer to the virtual camera, and
                ``max_persons`` does not apply.
            batch_size: Default: that of the inferencer.
            **kwargs: Options of :func:`~aios.apis.sources.open_sources`;
                ``score_thr``, ``max_persons``, ``nms_iou`` (see
                :class:`InstanceFilter`) and ``with_vertices``;
                ``return_vis``, ``show``, ``wait_time``, ``vis_out_dir`` (see
                :meth:`visualize`).

        Returns:
            ``predictions``, one of :func:`frame_as_dict` per image or frame,
            and ``visualization``, RGB arrays, empty unless ``return_vis``.

        Raises:
            ValueError: If an image cannot be read.
        """
        reading, choice, drawing, packing = self._dispatch_kwargs(**kwargs)
        sources = open_sources(inputs, **reading)
        draw = any(drawing.get(n) for n in ('return_vis', 'show')) or (
            drawing.get('vis_out_dir') is not None
        )
        choice['with_vertices'] = choice.get('with_vertices') or draw
        predictions: list[Any] = []
        images: list[np.ndarray] = []
        target, folders = drawing.get('vis_out_dir'), source_folders(sources)
        found = (
            (folder, *item)
            for source, folder in zip(sources, folders, strict=True)
            for item in self._results([source], batch_size, **choice)
        )
        bar = self._track_progress(found, sources)
        for folder, frame, result, sample in bar:
            if target is not None:
                drawing['vis_out_dir'] = Path(target, folder)
            drawn = self.visualize([frame], [result], **drawing)
            images += drawn if drawing.get('return_vis') else []
            predictions.append(sample if return_datasamples else result)
        return self.postprocess(
            predictions, images, return_datasamples, **packing
        )

    def preprocess(
        self, inputs: Any, batch_size: int = 1, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Make batches for :meth:`forward`.

        Args:
            inputs: See :func:`~aios.apis.sources.open_sources`.
            batch_size: Largest size of a batch.
            **kwargs: See :func:`~aios.apis.sources.open_sources`.
        """
        frames = (
            (frame, self._prepare(frame))
            for source in open_sources(inputs, **kwargs)
            for frame in map(self.camera.undistorted, readable(source))
        )
        for batch in batches(frames, batch_size):
            yield self.collate_fn([data for _, data in batch])

    @torch.no_grad()
    def forward(
        self,
        inputs: Any,
        with_vertices: bool = False,
        score_thr: float | None = None,
        max_persons: int | None = None,
        nms_iou: float | None = None,
    ) -> list[DetDataSample]:
        """Run the network on a batch.

        Args:
            inputs: Batch of :meth:`preprocess`.
            with_vertices: Also compute the meshes.
            score_thr: See :class:`InstanceFilter`; default of these three:
                that of the inferencer.
            max_persons: See :class:`InstanceFilter`.
            nms_iou: See :class:`InstanceFilter`.
        """
        chosen = self._filter(
            score_thr=score_thr, max_persons=max_persons, nms_iou=nms_iou
        )
        decoding = dict(
            chosen.test_cfg(self._head.test_cfg or {}),
            with_vertices=with_vertices,
        )
        return self.model.test_step(inputs, DecodingConfig(**decoding))

    def visualize(
        self,
        inputs: Sequence[Frame],
        preds: Sequence[FrameResult],
        show: bool = False,
        wait_time: float = 0,
        return_vis: bool = False,
        vis_out_dir: str | os.PathLike | None = None,
    ) -> list[np.ndarray]:
        """Draw persons into their images.

        Args:
            inputs: Frames.
            preds: Their persons, with vertices.
            show: Open a window for each (needs a display).
            wait_time: Seconds to show a window, 0 until a key press.
            return_vis: Return the images.
            vis_out_dir: Folder for ``NAME.jpg``; existing files are kept.
                :meth:`__call__` makes folders for several videos.

        Returns:
            ``(H, W, 3)`` uint8 RGB images; empty if no output is requested.

        Raises:
            FileExistsError: If an image exists.
        """
        if not (show or return_vis or vis_out_dir is not None):
            return []
        drawn = []
        draw = OverlayDrawer(self.faces, OverlayOptions(DEFAULT_LAYERS))
        for frame, result in zip(inputs, preds, strict=True):
            if frame.image is None:
                continue
            image = np.ascontiguousarray(frame.image[..., ::-1])
            drawn.append(draw(result, image))
            if vis_out_dir is not None:
                path = Path(vis_out_dir, f'{frame.name}.jpg')
                write_image(drawn[-1], path)
            if show:
                show_image(drawn[-1], frame.name, int(1e3 * wait_time))
        return drawn

    def postprocess(
        self,
        preds: Sequence[Any],
        visualization: list[np.ndarray],
        return_datasamples: bool = False,
    ) -> dict[str, Any]:
        """Pack results; see :meth:`__call__`."""
        if not return_datasamples:
            preds = [frame_as_dict(frame) for frame in preds]
        return {'predictions': list(preds), 'visualization': visualization}

    def _track_progress(self, items: Any, sources: Sequence[Any]) -> Any:
        total = sum(map(len, sources)) or None
        off = not self.show_progress
        return tqdm(items, total=total, unit='frame', disable=off)

    def _prepare(self, frame: Frame) -> dict[str, Any]:
        return prepare(frame, self.pipeline)

    def _predict_batch(
        self, batch: Batch, chosen: InstanceFilter, with_vertices: bool
    ) -> Iterator[tuple[FrameResult, DetDataSample]]:
        data = self.collate_fn([data for _, data in batch])
        samples = self.forward(
            data, with_vertices=with_vertices, **asdict(chosen)
        )
        for (frame, _), sample in zip(batch, samples, strict=True):
            result = FrameResult.from_prediction(
                predictions_of(sample.to_dict(), chosen.score_thr),
                frame.name,
                frame.size,
                frame.source_frame,
                frame.timestamp,
                with_vertices,
            )
            yield result, sample
