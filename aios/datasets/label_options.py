# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options and rules of reading a HumanData file, and the labels' type."""

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
"""Rules by which a person is dropped; the first that applies is counted."""

OPTIONAL_DROP_RULES = (
    'crowd',
    'no_keypoints',
    'invalid_label',
    'no_confidence',
    'duplicate',
)
"""Rules that only datasets with such flags ask for (``drop_rules``)."""

# In test mode all images and persons count, as they are.
_TRAINING = ('sample_interval', 'use_betas_neutral', 'max_occlusion')


@dataclass(frozen=True)
class LabelOptions:
    """Options of :class:`~aios.datasets.HumanDataset` that change the labels.

    Args:
        kps2d_key: 2-D keypoints; default the first of
            :data:`KEYPOINTS_2D` that is present.
        kps3d_key: 3-D keypoints; default likewise, and it is fine if there
            are none.
        has_3d: Whether 3-D keypoints supervise; default: if there are any.
        sample_interval: Take every n-th image (not in test mode).
        group_by_image: See :meth:`HumanData.images`.
        image_size: ``(height, width)`` of all images, for files that do
            not say.
        body_bbox_ratio: Scale of body boxes about their centres.
        part_bbox_ratio: Scale of hand and face boxes.
        min_bbox_conf: Drop persons whose body box has less confidence.
        part_valid_source: What says that a hand or face is annotated:
            ``'bbox'`` the confidence of its box, ``'meta'`` the flags
            ``lefthand_valid``, ``righthand_valid``, ``face_valid``.
        expression_supervises: Whether expressions are labels; false for
            data whose expressions are all zero because none was fitted.
        use_betas_neutral: Train with ``betas_neutral`` where the file has
            it (AGORA, BEDLAM, EgoBody; not in test mode).
        max_neutral_beta: Largest size of a coefficient of ``betas_neutral``;
            a shape with a larger one does not supervise (EgoBody's come
            from a regressor that can go astray).
        max_occlusion: Persons occluded by this percentage (``meta.occ``) or
            more keep their body box and lose everything else (AGORA; not
            in test mode).
        kids_shape_supervises: Whether shapes of children (``meta.is_kid``)
            are labels; AGORA's are those of another template.
        keypoints3d_follow_2d: Whether a 3-D joint counts only where its 2-D
            one was annotated (UBody).
        drop_rules: Some of :data:`OPTIONAL_DROP_RULES`.
        videos: Names of videos (the folder of the image, without
            ``_Trim...``), see ``video_rule``.
        video_rule: ``'keep'`` or ``'drop'`` persons of ``videos``.
        ignore_crowds: Whether crowds go along as boxes that are neither
            persons nor background; they must be dropped as persons.
        read_vertices: Whether the ``vertices`` of the file are ground truth
            (EHF).
        read_smpl: Whether SMPL parameters and camera poses of the file are
            ground truth (3DPW, EMDB).
        hand_mean: ``(90,)`` mean pose of left and right hand that is
            subtracted from the hand poses; None if they are relative to it
            already.
        legacy_eye_swap: Exchange the eyeballs (joints 67 and 68), which the
            caches published with AiOS hold the wrong way round.
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
        """Take the options out of the keyword arguments of a dataset.

        Args:
            arguments: Changed: what is left are those of other classes.
        """
        names = {option.name for option in fields(cls)} - {'hand_mean'}
        given = {k: arguments.pop(k) for k in names & arguments.keys()}
        if arguments.get('test_mode'):
            given = {k: v for k, v in given.items() if k not in _TRAINING}
        for name in ('image_size', 'drop_rules'):
            if given.get(name) is not None:
                given[name] = tuple(given[name])
        if given.get('videos') is not None:
            given['videos'] = tuple(sorted(given['videos']))
        return cls(**given)


@dataclass(frozen=True)
class DropCount:
    """How often a rule dropped a person.

    Args:
        rule: Key of :data:`DROP_RULES`.
        persons: How many.
        first_row: Row of the first one in the file.
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
        info: Everything else, JSON-serialisable.
    """

    columns: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)

    def refuse_objects(self) -> None:
        """Make sure that all columns can be stored.

        Raises:
            HumanDataError: If one has objects; it names the column.
        """
        for name, column in self.columns.items():
            if column.dtype.kind == 'O':
                message = 'must be numbers of one kind, got other objects'
                raise HumanDataError.of('wrong_type', name, message)
