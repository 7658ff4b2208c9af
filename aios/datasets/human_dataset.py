# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Dataset of images with SMPL-X labels, from one HumanData file."""

from __future__ import annotations

import logging
import math
import os.path as osp
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from aios.registry import DATASETS
from aios.structures import (
    COCO_17,
    FACE_6,
    LEFT_HAND_6,
    RIGHT_HAND_6,
    SMPLX_137,
    SMPLX_ROTATIONS_53,
)
from aios.utils.choices import check_choice
from aios.utils.digests import digest
from aios.utils.openmmlab import as_plain

from .faults import HumanDataError, refusing
from .human_data import HumanData
from .image_list import ImageList, present_files
from .image_sizes import UNKNOWN_SIZE, add_image_sizes, has_image_sizes
from .label_blocks import label_blocks, pack_meta
from .label_options import DROP_RULES, LabelOptions, LabelTable
from .label_store import LabelStore
from .labels import hand_poses_are_flat
from .pipeline import LabelPipeline, build_pipeline
from .supervision import EXTRA_FIELDS, person_labels, unboxed_parts

_PART_WORDS = {'lhand': 'left hand', 'rhand': 'right hand', 'face': 'face'}
_MISSING_IMAGES = ('error', 'drop', 'ignore')
_FILTERS = ('missing_images', 'min_persons')
_IF_PRESENT = ('keypoints3d', *EXTRA_FIELDS)
_PER_PERSON = (
    'bboxes',
    'keypoints',
    'smplx_pose',
    'smplx_betas',
    'smplx_expression',
    'smplx_transl',
    'gender',
    'smplx_valid',
    'betas_valid',
    'expression_valid',
    'lhand_bboxes',
    'lhand_valid',
    'lhand_box_valid',
    'rhand_bboxes',
    'rhand_valid',
    'rhand_box_valid',
    'face_bboxes',
    'face_valid',
    'face_box_valid',
)


@DATASETS.register_module()
class HumanDataset(BaseDataset):
    """A HumanData file as an mmengine dataset; one item is one image.

    Labels are unpacked once into memory-mapped arrays that all workers share
    (:class:`~aios.datasets.label_store.LabelStore`); the dataset itself only
    holds a path and a row range per image.  Persons with broken labels are
    dropped by named rules, and a table of the counts is logged.

    Args:
        ann_file: HumanData ``.npz`` or ``.pkl``, relative to ``data_root``.
        data_root: Folder of ``ann_file`` and of ``data_prefix``.
        data_prefix: ``dict(img=...)``, the folder that ``image_path`` in the
            file is relative to.
        pipeline: Transforms, or their configs.
        dataset_name: Name in logs and samples; default the file's stem.
        parts_mask_keypoints: Whether joints of parts without a body-model
            fit are left out of the losses (COCO, UBody).
        flat_hand_mean: Whether hand poses are absolute, in which case they
            are converted to poses relative to the mean hand.  ``'auto'``:
            the value in the file, relative if it has none.
        body_model_path: Source of the mean hand, if it is needed; see
            :func:`aios.body_models.find_body_model`.
        filter_cfg: ``missing_images``: ``'error'`` (default) raises if an
            image is missing, ``'drop'`` leaves such images out,
            ``'ignore'`` skips the check (remote storage).
            ``min_persons``: leave out images with fewer persons (not in
            test mode), 1 by default; 0 also includes the images in
            ``misc['empty_images']`` of the file.
        cache_dir: Folder of unpacked labels; default ``.aios_cache`` beside
            the file.
        **kwargs: Options of :class:`~aios.datasets.LabelOptions`;
            ``test_mode``, ``indices``, ``metainfo``, ``lazy_init``,
            ``max_refetch`` of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        FileNotFoundError: If the file, or an image, is missing.
        HumanDataError: If the content of the file is invalid.
    """

    ANNOTATION_ADVICE = (
        'Correct data_root and ann_file; docs/en/human_data.md describes the '
        'file format.'
    )
    """Advice in errors about a missing annotation file."""
    IMAGE_ADVICE = 'correct data_root and data_prefix'
    """Advice in errors about a missing image."""

    METAINFO = {
        'dataset_type': 'human_data',
        # Class 0 is unused; persons are class 1, as in the published model.
        'classes': ('unused', 'person'),
        'joint_set': SMPLX_137.name,
        'keypoint_names': SMPLX_137.names,
        'keypoint_flip_pairs': SMPLX_137.flip_pairs,
        'skeleton_links': SMPLX_137.links,
        'rotation_names': SMPLX_ROTATIONS_53.names,
        'rotation_flip_pairs': SMPLX_ROTATIONS_53.flip_pairs,
        'keypoint_subsets': {
            'body': COCO_17.name,
            'lhand': LEFT_HAND_6.name,
            'rhand': RIGHT_HAND_6.name,
            'face': FACE_6.name,
        },
    }

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        pipeline: Sequence[Any] = (),
        *,
        dataset_name: str | None = None,
        parts_mask_keypoints: bool = False,
        flat_hand_mean: str | bool = 'auto',
        body_model_path: str | None = None,
        filter_cfg: Mapping[str, Any] | None = None,
        cache_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice('flat_hand_mean', flat_hand_mean, ('auto', True, False))
        self._check_filters(filter_cfg or {})
        self.dataset_name = (
            dataset_name or osp.splitext(osp.basename(ann_file))[0]
        )
        self.parts_mask_keypoints = parts_mask_keypoints
        self.flat_hand_mean = flat_hand_mean
        self.body_model_path = body_model_path
        self.cache_dir = cache_dir
        self.label_options = LabelOptions.take(kwargs)
        # Labels are memory-mapped; serializing would only copy them.
        kwargs['serialize_data'] = False
        kwargs['metainfo'] = as_plain(kwargs.get('metainfo'))
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(data_prefix or {'img': ''}),
            filter_cfg=dict(filter_cfg or {}),
            pipeline=build_pipeline(pipeline),
            **kwargs,
        )
        self.pipeline: Any = LabelPipeline(self.pipeline.transforms)

    @staticmethod
    def _check_filters(filter_cfg: Mapping[str, Any]) -> None:
        unknown = sorted(set(filter_cfg) - set(_FILTERS))
        if unknown:
            raise ValueError(
                f'filter_cfg has unknown keys {unknown}; allowed are '
                f'{list(_FILTERS)}'
            )
        missing = filter_cfg.get('missing_images', 'error')
        check_choice('missing_images', missing, _MISSING_IMAGES)

    # -- loading ------------------------------------------------------------

    def load_data_list(self) -> ImageList:
        """Open the labels and list the images.

        Returns:
            One dictionary per image: ``img_path``, ``img_id`` (its index
            in the file), ``height``, ``width``, ``rows`` (start and end in
            the label arrays), ``camera`` (fx, fy, cx, cy; NaN if unknown).
        """
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{self.dataset_name}: annotation file {self.ann_file} does '
                f'not exist. {self.ANNOTATION_ADVICE}'
            )
        images, identity = self._open_labels(), {}
        if self.labels.info.get('sized_by') not in (None, self._folder()):
            identity['sized_by'] = self._folder()
            images = self._open_labels(**identity)
        unsized = {*images.select(images.heights == UNKNOWN_SIZE).paths()}
        missing = unsized - present_files(unsized)
        if missing != unsized:  # some arrived after labels were unpacked
            identity['missing_images'] = digest(sorted(missing))
            images = self._open_labels(**identity)
        return images

    def _folder(self) -> str:
        """Absolute folder of the images."""
        return osp.abspath(self.data_prefix.get('img', ''))

    def _open_labels(self, **identity: Any) -> ImageList:
        self.labels = LabelStore.open(
            self.ann_file,
            options=self._store_options() | identity,
            build=self._build_or_refuse,
            cache_dir=self.cache_dir,
        )
        return ImageList(self.labels, self.data_prefix.get('img', ''))

    def _store_options(self) -> dict[str, Any]:
        """Options that change the labels; part of the store's name."""
        return {
            **asdict(self.label_options),
            'flat_hand_mean': self.flat_hand_mean,
            'body_model_path': self.body_model_path,
        }

    def _build_or_refuse(self) -> Iterator[LabelTable]:
        from aios.body_models import BodyModelFileError

        with refusing(self.ann_file, (BodyModelFileError,)):
            built = self._build_labels()
            for table in [built] if isinstance(built, LabelTable) else built:
                table.refuse_objects()
                yield table

    def _build_labels(self) -> LabelTable | Iterable[LabelTable]:
        data = HumanData.load(self.ann_file, stream=True)
        pack_meta(data)
        was_read = self._read_image_sizes(data)
        if self.flat_hand_mean == 'auto':
            flat = hand_poses_are_flat(data)
        else:
            flat = bool(self.flat_hand_mean)
        unboxed = unboxed_parts(data)
        options = asdict(self.label_options)
        if flat:
            options['hand_mean'] = read_hand_mean(self.body_model_path)
        return self._label_blocks(
            data,
            LabelOptions(**options),
            {
                'flat_hand_mean': flat,
                'unboxed_parts': unboxed,
                'sized_by': self._folder() if was_read else None,
            },
        )

    @staticmethod
    def _label_blocks(
        data: HumanData, options: LabelOptions, info: dict[str, Any]
    ) -> Iterator[LabelTable]:
        for block in label_blocks(data, options):
            block.info.update(info)
            yield block

    def _read_image_sizes(self, data: HumanData) -> bool:
        """Add missing image sizes, as in files of mmhuman3d's converters.

        Returns:
            Whether they were read from the images.
        """
        policy = (self.filter_cfg or {}).get('missing_images', 'error')
        if (
            self.label_options.image_size is not None
            or policy == 'ignore'
            or not len(data)
            or has_image_sizes(data)
            or 'image_path' not in data
        ):
            return False
        count = add_image_sizes(
            data,
            self.data_prefix.get('img', ''),
            allow_missing=policy == 'drop',
        )
        print_log(
            f'{self.dataset_name}: no meta.height, meta.width; read the '
            f'sizes of {count} images from the image files',
            logger='current',
        )
        return True

    def filter_data(self) -> ImageList:
        """Apply ``filter_cfg`` and log a table of the dropped items."""
        cfg = self.filter_cfg or {}
        min_persons = 0 if self.test_mode else cfg.get('min_persons', 1)
        listed: ImageList = self.data_list
        present = self._find_missing(cfg, listed)
        enough = listed.persons >= min_persons
        kept = listed.select(present & enough)
        counts = {
            'missing_image': int((~present).sum()),
            'few_persons': int((present & ~enough).sum()),
        }
        self._report(kept, counts)
        if not kept:
            rules = [d['rule'] for d in self.labels.info['dropped']]
            rules += [rule for rule, count in counts.items() if count]
            raise HumanDataError.of(
                'no_persons',
                'image_path',
                f'no image is left, dropped by {rules or "no rule"}',
                source=self.ann_file,
            )
        return kept

    def _find_missing(
        self, cfg: Mapping[str, Any], listed: ImageList
    ) -> np.ndarray:
        """``(M,)`` bool, images that exist."""
        policy = cfg.get('missing_images', 'error')
        if policy == 'ignore':
            return np.ones(len(listed), bool)
        paths = listed.paths()
        existing = present_files(set(paths))
        present = np.array([path in existing for path in paths], bool)
        if policy == 'error' and not present.all():
            first = int(present.argmin())
            start, end = listed[first]['rows']
            raise HumanDataError.of(
                'missing_image',
                'image_path',
                f'{paths[first]} does not exist; '
                f'{self.IMAGE_ADVICE}, or leave such images out with '
                "filter_cfg=dict(missing_images='drop')",
                int(self.labels['row'][start]) if end > start else None,
                int((~present).sum()),
                source=self.ann_file,
            )
        return present

    def _report(
        self, kept: ImageList, image_counts: Mapping[str, int]
    ) -> None:
        info = self.labels.info
        persons = int(kept.persons.sum())
        lines = [
            f'{self.dataset_name} ({self.ann_file}): {len(kept)} images, '
            f'{persons} persons of {info["num_images"]} and '
            f'{info["num_rows"]}',
            f'  keypoints {info["kps2d_key"]}, {info["kps3d_key"]}; body '
            f'model {info["body_model"]}; hand poses '
            + _hand_report(info['flat_hand_mean'], self.flat_hand_mean),
        ]
        if info['dropped'] or any(image_counts.values()):
            lines.append('  dropped          count  first row  rule')
        for drop in info['dropped']:
            lines.append(
                f'  persons     {drop["persons"]:10d} '
                f'{drop["first_row"]:10d}  {drop["rule"]}: '
                f'{DROP_RULES[drop["rule"]]}'
            )
        for rule, count in image_counts.items():
            if count:
                lines.append(f'  images      {count:10d}          -  {rule}')
        print_log('\n'.join(lines), logger='current')
        # Absent in stores of earlier versions, and for AiOS caches.
        for part, count in info.get('unboxed_parts', {}).items():
            print_log(
                f'{self.dataset_name} ({self.ann_file}): {count} persons '
                f'have parameters of the {_PART_WORDS[part]} but no '
                f'{part}_bbox_xywh, so these do not supervise. '
                'tools/misc/check_humandata.py --fix computes boxes',
                logger='current',
                level=logging.WARNING,
            )

    # -- access -------------------------------------------------------------

    def get_cat_ids(self, idx: int) -> list[int]:
        """Classes in an image, for mmengine's ``ClassBalancedDataset``.

        Args:
            idx: Index of the image.
        """
        start, end = super().get_data_info(idx)['rows']
        return [1] * (end - start)  # see METAINFO

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Annotation of one image.

        Args:
            idx: Index of the image.

        Returns:
            The image's entry of :meth:`load_data_list` with
            ``sample_idx``, ``dataset_name``, ``cam_K`` ``(3, 3)`` if it
            has a camera, ``ignored_bboxes`` ``(q, 4)`` with
            ``ignore_crowds``, and ``instances_arrays``: the fields of
            :data:`aios.structures.GT_FIELDS` as float32 arrays, in pixels of
            the original image.
        """
        info = super().get_data_info(idx)
        fx, fy, cx, cy = info.pop('camera')
        if math.isfinite(fx):
            info['cam_K'] = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        start, end = info.pop('rows')
        names = [*_PER_PERSON]
        names += [n for n in _IF_PRESENT if n in self.labels]
        columns = {name: self.labels.rows(name, start, end) for name in names}
        info['instances_arrays'] = person_labels(
            columns,
            self.labels.info['body_model'],
            self.parts_mask_keypoints,
        )
        if 'ignored' in info:
            span = info.pop('ignored')
            info['ignored_bboxes'] = self.labels.rows('ignored_bboxes', *span)
        info['dataset_name'] = self.dataset_name
        return info


def read_hand_mean(model_path: str | None) -> tuple[float, ...]:
    """Mean pose of both hands, ``(90,)``, from a body-model file."""
    from aios.body_models.files import find_body_model, read_model_file

    keys = ('hands_meanl', 'hands_meanr')
    path = find_body_model(model_path, 'neutral')
    arrays = read_model_file(path, keys)
    means = [np.asarray(arrays[key], float).ravel() for key in keys]
    return tuple(np.concatenate(means).tolist())


def _hand_report(flat: bool | None, option: str | bool) -> str:
    """Describe the conversion of hand poses for the log.

    Args:
        flat: Whether they are absolute; None if unknown.
        option: ``flat_hand_mean`` of the dataset.
    """
    source = 'the file says' if option == 'auto' else 'as configured'
    if flat is None:
        return 'taken as relative to the mean hand (the file does not say)'
    if flat:
        return f'absolute ({source}): mean hand subtracted'
    return f'relative to the mean hand ({source})'
