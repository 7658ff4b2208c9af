# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options and drop rules of HumanData files, and the type of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from aios.utils.choices import check_choice

from .faults import HumanDataError

KEYPOINTS_2D = (
    'keypoints2d_ori',
    'keypoints2d_smplx',
    'keypoints2d_smpl',
    'keypoints2d_original',
    'keypoints2d_gta',
    'keypoints2d',
)
"""2-D keypoints in order of preference."""

KEYPOINTS_3D = (
    'keypoints3d_cam',
    'keypoints3d',
    'keypoints3d_smplx',
    'keypoints3d_smpl',
    'keypoints3d_original',
    'keypoints3d_gta',
)
"""3-D keypoints in order of preference."""

DROP_RULES: Mapping[str, str] = {
    'no_range': 'the row is in no range of frame_range',
    'non_finite_bbox': 'the body box is NaN or infinite',
    'empty_bbox': 'the body box has no area inside the image',
    'low_bbox_confidence': 'the confidence of the body box is too low',
    'non_finite_keypoints2d': 'a 2-D joint is NaN or infinite',
    'non_finite_keypoints3d': 'a 3-D joint is NaN or infinite',
    'non_finite_body_model': 'a body-model parameter is NaN or infinite',
    'crowd': 'the box is a crowd (meta.iscrowd)',
    'no_keypoints': 'no keypoint is annotated (meta.num_keypoints)',
    'invalid_label': 'the annotators rejected it (meta.valid_label)',
    'no_confidence': 'no 2-D joint has any confidence',
    'duplicate': 'another person of the image has the same body box',
    'other_split': 'the video belongs to the other split',
}
"""Rules that drop a person, which is counted under the first that applies."""

OPTIONAL_DROP_RULES = (
    'crowd',
    'no_keypoints',
    'invalid_label',
    'no_confidence',
    'duplicate',
)
"""Rules that datasets enable with ``drop_rules``."""

# Options that test mode ignores, to keep all images and persons.
_TRAINING = ('sample_interval', 'use_betas_neutral', 'max_occlusion')


@dataclass(frozen=True)
class LabelOptions:
    """Options of :class:`~aios.datasets.HumanDataset` that change the labels.

    Args:
        kps2d_key: 2-D keypoints; default the first of
            :data:`KEYPOINTS_2D` that is present.
        kps3d_key: 3-D keypoints; default likewise.  They are optional.
        has_3d: Whether 3-D keypoints supervise; default: if present.
        sample_interval: Take every n-th image (not in test mode).
        group_by_image: See :meth:`HumanData.images`.
        image_size: ``(height, width)`` of all images, for files without
            image sizes.
        body_bbox_ratio: Scale of body boxes about their centers.
        part_bbox_ratio: Scale of hand and face boxes.
        min_bbox_conf: Drop persons whose body box has a lower confidence.
        part_valid_source: Source of the flags of annotated hands and faces:
            ``'bbox'`` the confidence of the box, ``'meta'`` the flags
            ``lefthand_valid``, ``righthand_valid``, ``face_valid``.
        expression_supervises: Whether expressions are labels; false for
            data without fitted expressions, where all are zero.
        use_betas_neutral: Train with ``betas_neutral`` if the file has it
            (AGORA, BEDLAM, EgoBody; not in test mode).
        max_neutral_beta: Largest absolute coefficient of ``betas_neutral``;
            a shape with a larger one does not supervise (EgoBody's come
            from a regressor with outliers).
        max_occlusion: Persons occluded by this percentage (``meta.occ``) or
            more keep only their body box (AGORA; not in test mode).
        kids_shape_supervises: Whether shapes of children (``meta.is_kid``)
            are labels; AGORA's use another template.
        keypoints3d_follow_2d: Whether a 3-D joint supervises only if its
            2-D joint was annotated (UBody).
        drop_rules: Some of :data:`OPTIONAL_DROP_RULES`.
        videos: Names of videos (the folder of the image, without
            ``_Trim...``), see ``video_rule``.
        video_rule: ``'keep'`` or ``'drop'`` persons of ``videos``.
        ignore_crowds: Return the boxes of crowds, which are neither persons
            nor background; requires the drop rule ``'crowd'``.
        read_vertices: Read ``vertices`` of the file as ground truth (EHF).
        read_smpl: Read SMPL parameters and camera poses of the file as
            ground truth (3DPW, EMDB).
        hand_mean: ``(90,)`` mean pose of left and right hand to subtract
            from the hand poses; None if they are already relative to it.
        legacy_eye_swap: Swap the eyeballs (joints 67 and 68), which the
            caches published with AiOS store in the wrong order.
    """

    kps2d_key: str | None = None
    kps3d_key: str | None = None
    has_3d: bool | None = None
    sample_interval: int = 1
    group_by_image: bool = True
    image_size: tuple[int, int] | None = None
    body_bbox_ratio: float = 1.0
    part_bbox_ratio: float = 1.0
    min_bbox_conf: float | None = None
    part_valid_source: str = 'bbox'
    expression_supervises: bool = True
    use_betas_neutral: bool = False
    max_neutral_beta: float | None = None
    max_occlusion: float | None = None
    kids_shape_supervises: bool = True
    keypoints3d_follow_2d: bool = False
    drop_rules: tuple[str, ...] = ()
    videos: tuple[str, ...] | None = None
    video_rule: str = 'keep'
    ignore_crowds: bool = False
    read_vertices: bool = False
    read_smpl: bool = False
    hand_mean: tuple[float, ...] | None = None
    legacy_eye_swap: bool = False

    def __post_init__(self) -> None:
        if self.sample_interval < 1:
            raise ValueError(
                f'sample_interval must be >= 1, got {self.sample_interval}'
            )
        source = self.part_valid_source
        check_choice('part_valid_source', source, ('bbox', 'meta'))
        unknown = sorted(set(self.drop_rules) - set(OPTIONAL_DROP_RULES))
        if unknown:
            raise ValueError(
                f'drop_rules has unknown rules {unknown}; allowed are '
                f'{OPTIONAL_DROP_RULES}'
            )
        if self.ignore_crowds and 'crowd' not in self.drop_rules:
            raise ValueError(
                "ignore_crowds needs 'crowd' in drop_rules, got "
                f'{self.drop_rules}'
            )
        check_choice('video_rule', self.video_rule, ('keep', 'drop'))

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> LabelOptions:
        """Pop the options from the keyword arguments of a dataset.

        Args:
            arguments: Changed in place; other arguments remain.
        """
        names = {option.name for option in fields(cls)} - {'hand_mean'}
        given = {k: arguments.pop(k) for k in names & arguments.keys()}
        if arguments.get('test_mode'):
            given = {k: v for k, v in given.items() if k not in _TRAINING}
        for name in ('image_size', 'drop_rules', 'videos'):
            if given.get(name) is not None:
                if isinstance(given[name], str):
                    raise ValueError(
                        f'{name} must be a list, got {given[name]!r}'
                    )
                given[name] = tuple(given[name])
        if given.get('videos') is not None:
            given['videos'] = tuple(sorted(given['videos']))
        return cls(**given)


@dataclass(frozen=True)
class DropCount:
    """Number of persons that a rule dropped.

    Args:
        rule: Key of :data:`DROP_RULES`.
        persons: Number of persons.
        first_row: Row of the first of them in the file.
    """

    rule: str
    persons: int
    first_row: int


@dataclass(frozen=True)
class LabelTable:
    """Labels of all persons of a file.

    Args:
        columns: Arrays whose first axis is persons (names starting with
            ``image_``: images).
        info: Everything else, JSON-serializable.
    """

    columns: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)

    def refuse_objects(self) -> None:
        """Raise if a column cannot be stored.

        Raises:
            HumanDataError: If a column has objects; it names the column.
        """
        for name, column in self.columns.items():
            if column.dtype.kind == 'O':
                message = 'must be numbers of one kind, got other objects'
                raise HumanDataError.of('wrong_type', name, message)
