# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""UBody: COCO-WholeBody annotations and fits, one folder per scene."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from aios.datasets.benchmarks import read_video_list
from aios.datasets.person_rules import duplicate_boxes, video_names
from aios.utils.command_line import number
from aios.utils.folders import visible_paths

from .base import Converter, reading
from .bodies import smplx_joints
from .coco import (
    fit_columns,
    image_sizes,
    read_json,
    whole_body_columns,
)
from .table import PersonTable, joint_columns, smplx_columns


@dataclass(eq=False)
class UBodyConverter(Converter):
    """UBody, intra- or inter-scene protocol.

    Crowds, annotations without keypoints, valid label, body fit or confident
    joint, and duplicate boxes of an image are left out.  The test split is
    every 100th *annotation* of each scene, counted from 1 before anything is
    left out (OSX's rule).

    Args:
        root: Folder with ``annotations``, ``images`` and ``splits``.
        split: ``'test'``: videos in the list of ``splits``; ``'train'``: all
            others.
        body_models: Folder of ``SMPLX_NEUTRAL.npz``.
        interval: Take every n-th image of a scene.
        protocol: ``'intra'`` or ``'inter'``.
        annotation_interval: Take every n-th annotation of a scene; 0 means
            100 for tests and 1 for training.
    """

    NAME = 'ubody'
    SPLITS = ('train', 'test')
    MISC = {
        'flat_hand_mean': False,
        'smplx_source': 'nerual_annot',
        'bbox_source': 'original',
        'bbox_body_scale': 1.0,
    }

    protocol: str = 'intra'
    annotation_interval: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.annotation_interval:
            self.annotation_interval = 100 if self.split == 'test' else 1
        file = self.require('splits', f'{self.protocol}_scene_test_list.npy')
        with reading(file):
            self._test_videos = set(read_video_list(str(file)))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """``--protocol``, ``--annotation-interval``."""
        parser.add_argument(
            '--protocol', choices=['intra', 'inter'], default='intra'
        )
        parser.add_argument(
            '--annotation-interval',
            type=number(int, 0),
            default=0,
            help='use every n-th annotation (default: test 100, train 1)',
        )

    def units(self) -> list[str]:
        """Scenes."""
        folder = self.require('annotations')
        return [path.name for path in visible_paths(folder) if path.is_dir()]

    def convert(self, unit: str) -> PersonTable:
        """Persons of one scene."""
        table = PersonTable()
        file, fits_file = (
            self.require('annotations', unit, f'{kind}_annotation.json')
            for kind in ('keypoint', 'smplx')
        )
        labels, fits = read_json(file), read_json(fits_file)
        with reading(file):
            images = {image['id']: image for image in labels['images']}
            taken = set(sorted(images)[:: self.interval])
            persons = [
                person
                for count, person in enumerate(labels['annotations'], 1)
                if count % self.annotation_interval == 0
                and person['image_id'] in taken
            ]
            persons = self._select(persons, images, fits, unit, table)
        if not persons:
            return table
        with reading(file):
            used = [images[person['image_id']] for person in persons]
            sizes = image_sizes(used)
            paths = [_path(unit, image) for image in used]
            annotated = whole_body_columns(persons, sizes, 'keypoints2d_ubody')
        with reading(fits_file):
            params, cameras = fit_columns(
                [fits[str(p['id'])] for p in persons], sizes
            )
        joints = smplx_joints(params, self.body_models)
        table.columns = {
            'image_path': np.array(paths),
            **annotated,
            **joint_columns(joints, cameras.project(joints)),
            **smplx_columns(params),
            **cameras.meta_columns('neutral'),
        }
        self._drop_rows(table)
        return table

    def _select(
        self,
        persons: list[dict],
        images: dict[int, dict],
        fits: dict[str, dict],
        scene: str,
        table: PersonTable,
    ) -> list[dict]:
        """Persons of the split whose annotation is complete."""
        paths = [_path(scene, images[p['image_id']]) for p in persons]
        videos = video_names(np.array(paths, dtype=str))
        kept = []
        for person, video in zip(persons, videos.tolist(), strict=True):
            reason = None
            if (video in self._test_videos) != (self.split == 'test'):
                reason = 'other split'
            elif person.get('iscrowd'):
                reason = 'crowd'
            elif not person.get('num_keypoints', 1):
                reason = 'no keypoints'
            elif not person.get('valid_label', 1):
                reason = 'invalid label'
            elif str(person['id']) not in fits:
                reason = 'without body fit'
            if reason is None:
                kept.append(person)
            else:
                table.counts[reason] += 1
        return kept

    @staticmethod
    def _drop_rows(table: PersonTable) -> None:
        table.drop_empty_boxes('empty box')
        confidence = table.columns['keypoints2d_ubody'][..., 2]
        table.select(np.any(confidence > 0, axis=1), 'no confident joint')
        boxes = table.columns['bbox_xywh'][:, :4]
        again = duplicate_boxes(table.columns['image_path'], boxes)
        table.select(~again, 'duplicate box')


def _path(scene: str, image: dict) -> str:
    """Image path relative to the release, as in mmhuman3d's files."""
    name = image['file_name'].replace('\\', '/')
    folder = '' if name.startswith(f'{scene}/') else f'{scene}/'
    return f'images/{folder}{name}'
