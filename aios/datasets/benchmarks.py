# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Datasets of the paper and of common benchmarks.

Each class sets defaults for the arguments of
:class:`~aios.datasets.HumanDataset`; arguments of a config override them.
``ann_file`` may also be a list of files, of which the first that exists is
used (written by our converter, or published with AiOS).
``docs/en/datasets.md`` lists the downloads and the conversion commands.
"""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from aios.registry import DATASETS
from aios.utils.safe_io import load_npy

from .human_dataset import HumanDataset

__all__ = [
    'AGORADataset',
    'ARCTICDataset',
    'BEDLAMDataset',
    'COCONADataset',
    'EHFDataset',
    'EMDBDataset',
    'EgoBodyDataset',
    'PW3DDataset',
    'RICHDataset',
    'UBodyDataset',
    'read_video_list',
]

_DOCS = 'docs/en/datasets.md'


class _Benchmark(HumanDataset):
    """A :class:`~aios.datasets.HumanDataset` with its own defaults.

    Attributes:
        DEFAULTS: Default keyword arguments of training and tests.
        TRAIN_DEFAULTS: Additional defaults of training.
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    TRAIN_DEFAULTS: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(
        cls, command: str | None = None, page: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if command is None:
            return
        page = f'{_DOCS}#{page}'
        cls.ANNOTATION_ADVICE = (
            'Convert the official release with `python tools/'
            f'dataset_converters/convert_dataset.py {command}`, or set '
            'data_root and ann_file, or AIOS_DATA to the data folder. '
            f'See {page}'
        )
        cls.IMAGE_ADVICE = (
            'correct data_root and data_prefix, or set AIOS_DATA to the data '
            f'folder; see {page} for downloads and folders'
        )

    def __init__(
        self,
        ann_file: str | Sequence[str],
        data_root: str = '',
        *args: Any,
        **kwargs: Any,
    ) -> None:
        files = [ann_file] if isinstance(ann_file, str) else list(ann_file)
        if not files:
            raise ValueError('ann_file must be a file name')
        found = (f for f in files if osp.isfile(osp.join(data_root, f)))
        super().__init__(
            next(found, files[0]),
            data_root,
            *args,
            **self.with_defaults(kwargs),
        )

    @classmethod
    def with_defaults(cls, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments completed with the defaults of this dataset."""
        train = {} if kwargs.get('test_mode') else cls.TRAIN_DEFAULTS
        return {**cls.DEFAULTS, **train, **kwargs}


@DATASETS.register_module()
class AGORADataset(
    _Benchmark,
    command='agora data/datasets/agora --split train',
    page='agora',
):
    """AGORA (CVPR 2021): synthetic crowds, 5 to 15 persons per image.

    Bodies are gendered; training uses ``betas_neutral``.  Persons occluded by
    97 % or more only supervise the body box.  Shapes of children belong to
    another template and do not supervise.
    """

    DEFAULTS = {'dataset_name': 'agora', 'kids_shape_supervises': False}
    TRAIN_DEFAULTS = {'use_betas_neutral': True, 'max_occlusion': 97.0}


@DATASETS.register_module()
class BEDLAMDataset(
    _Benchmark,
    command='bedlam data/datasets/bedlam',
    page='bedlam',
):
    """BEDLAM (CVPR 2023): synthetic, 1 to 10 persons per image.

    Hand poses of the release are absolute; they are converted to the mean
    hand if the file declares that (``flat_hand_mean='auto'``).  Expressions
    are all zero and supervise, as published; ``expression_supervises=False``
    disables that.
    """

    DEFAULTS = {'dataset_name': 'bedlam', 'image_size': (720, 1280)}
    # Neighboring frames of a video are similar.
    TRAIN_DEFAULTS = {'use_betas_neutral': True, 'sample_interval': 5}


@DATASETS.register_module()
class COCONADataset(
    _Benchmark,
    command='coco data/datasets/coco_2017',
    page='coco',
):
    """COCO 2017 with COCO-WholeBody keypoints and NeuralAnnot's fits.

    Keypoints are annotated manually; fits supervise parameters, not 3-D
    joints.  Crowds are dropped; ``ignore_crowds=True`` excludes their boxes
    from the background, too.
    """

    DEFAULTS = {
        'dataset_name': 'coco',
        'kps2d_key': 'keypoints2d_ori',
        'has_3d': False,
        'parts_mask_keypoints': True,
        'drop_rules': ('crowd',),
    }


@DATASETS.register_module()
class UBodyDataset(
    _Benchmark,
    command='ubody data/datasets/UBody --split train',
    page='ubody',
):
    """UBody (CVPR 2023): upper bodies in 15 scenes.

    Keypoints are annotated in 2-D (files with four columns are supported,
    see ``docs/en/datasets.md``); a 3-D joint supervises only if its 2-D joint
    is annotated.  Crowds, rejected and empty annotations and duplicate boxes
    are dropped.

    Args:
        ann_file: The file, or several, of which the first that exists is
            used (written by our converter, or published with AiOS).
        data_root: See :class:`~aios.datasets.HumanDataset`.
        *args: See there.
        test_videos: ``.npy`` list of the videos of the test split
            (``intra_scene_test_list.npy``), relative to ``data_root``:
            training drops them, tests keep only them.  Not needed for files
            of a single split.
        **kwargs: See there.
    """

    DEFAULTS = {
        'dataset_name': 'ubody',
        'kps2d_key': 'keypoints2d_ubody',
        'part_bbox_ratio': 1.2,
        'part_valid_source': 'meta',
        'parts_mask_keypoints': True,
        'keypoints3d_follow_2d': True,
        'drop_rules': (
            'crowd',
            'no_keypoints',
            'invalid_label',
            'no_confidence',
            'duplicate',
        ),
    }
    TRAIN_DEFAULTS = {'sample_interval': 5}

    def __init__(
        self,
        ann_file: str | Sequence[str],
        data_root: str = '',
        *args: Any,
        test_videos: str | None = None,
        **kwargs: Any,
    ) -> None:
        if test_videos is not None:
            path = osp.join(data_root, test_videos)
            kwargs['videos'] = read_video_list(path)
            test_mode = kwargs.get('test_mode', False)
            kwargs['video_rule'] = 'keep' if test_mode else 'drop'
        super().__init__(ann_file, data_root, *args, **kwargs)


@DATASETS.register_module()
class ARCTICDataset(
    _Benchmark,
    command='arctic data/datasets/ARCTIC --split train',
    page='arctic',
):
    """ARCTIC (CVPR 2023), fixed cameras: one person with an object."""

    DEFAULTS = {'dataset_name': 'arctic'}
    # More than a million images of only ten subjects.
    TRAIN_DEFAULTS = {'sample_interval': 1000}


@DATASETS.register_module()
class EgoBodyDataset(
    _Benchmark,
    command='egobody data/datasets/EgoBody --split train',
    page='egobody',
):
    """EgoBody (ECCV 2022), egocentric images of one other person.

    ``use_betas_neutral=True`` trains with neutral shapes; those with a
    coefficient beyond 3 do not supervise.
    """

    DEFAULTS = {
        'dataset_name': 'egobody',
        'image_size': (1080, 1920),
        'max_neutral_beta': 3.0,
    }
    TRAIN_DEFAULTS = {'sample_interval': 5}


@DATASETS.register_module()
class EHFDataset(
    _Benchmark,
    command='ehf data/datasets/EHF',
    page='ehf',
):
    """EHF (CVPR 2019): 100 images of one person, for tests only.

    Samples have the registered meshes as ``gt_instances.vertices``
    ``(n, 10475, 3)``, meters in the camera's axes, if the file has them.
    """

    DEFAULTS = {
        'dataset_name': 'ehf',
        'image_size': (1200, 1600),
        'read_vertices': True,
    }


@DATASETS.register_module()
class PW3DDataset(
    _Benchmark,
    command='3dpw data/datasets/3DPW --split test',
    page='3dpw',
):
    """3DPW (ECCV 2018): one or two annotated SMPL bodies per image.

    Samples have ``gt_instances.smpl_pose`` ``(n, 72)`` and ``smpl_betas``
    ``(n, 10)``.  Other persons in the image are not annotated.
    """

    DEFAULTS = {'dataset_name': '3dpw', 'read_smpl': True}


@DATASETS.register_module()
class EMDBDataset(
    _Benchmark,
    command='emdb data/datasets/EMDB --split emdb1',
    page='emdb',
):
    """EMDB (ICCV 2023): one SMPL body per image, from a moving camera.

    Samples have ``gt_instances.smpl_pose`` ``(n, 72)``, ``smpl_betas``
    ``(n, 10)`` and ``extrinsics`` ``(n, 4, 4)`` from the world to the camera.
    """

    DEFAULTS = {'dataset_name': 'emdb', 'read_smpl': True}


@DATASETS.register_module()
class RICHDataset(
    _Benchmark,
    command='rich data/datasets/RICH --split test',
    page='rich',
):
    """RICH (CVPR 2022): SMPL-X bodies in scanned scenes, fixed cameras."""

    DEFAULTS = {'dataset_name': 'rich'}


def read_video_list(path: str) -> Sequence[str]:
    """Read an ``.npy`` list of video names.

    Args:
        path: The file; an array or a pickled list of strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds other values.
    """
    names = np.asarray(load_npy(path, allow_objects=True)).ravel().tolist()
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f'{path}: must contain video names (strings)')
    return names
