# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Synthetic persons with exact labels: images and sequences.

A scene is drawn from a random generator (:func:`sample_scene`), rendered
(:func:`render_scene`) and labeled (:func:`label_scene`);
:func:`generate_dataset` does so for whole datasets.  See
``docs/en/synthetic_data.md``.
"""

from .backgrounds import list_images
from .bodies import BodyBank
from .environments import list_panoramas
from .generator import GeneratorOptions, generate_dataset
from .labels import DROP_RULES, label_scene
from .photographic import sample_photographic_scene
from .poses import sample_pose
from .rendering import finish_image, render_scene
from .results import labels_as_result
from .scene import SceneOptions, sample_scene
from .sequence import sample_sequence
from .store import DatasetFolder

__all__ = [
    'DROP_RULES',
    'BodyBank',
    'DatasetFolder',
    'GeneratorOptions',
    'SceneOptions',
    'finish_image',
    'generate_dataset',
    'label_scene',
    'labels_as_result',
    'list_panoramas',
    'list_images',
    'render_scene',
    'sample_photographic_scene',
    'sample_pose',
    'sample_scene',
    'sample_sequence',
]
