# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluation of AGORA, and its files.

:mod:`.ground_truth` reads the data frames, :mod:`.submission` writes and
:mod:`.reader` reads submissions to the servers of AGORA and BEDLAM, and
:mod:`.evaluator` computes the errors.
"""

from .bodies import SubmittedBodies, load_part_vertices
from .evaluator import AGORAEvaluator, AGORAPersons
from .ground_truth import (
    AGORAGroundTruth,
    AGORAImage,
    convert_ground_truth,
    image_name,
)
from .layout import BENCHMARKS, check_person, parse_name
from .reader import read_dump, read_submission
from .submission import SubmissionWriter, write_archive

__all__ = [
    'BENCHMARKS',
    'AGORAEvaluator',
    'AGORAGroundTruth',
    'AGORAPersons',
    'AGORAImage',
    'SubmissionWriter',
    'SubmittedBodies',
    'check_person',
    'convert_ground_truth',
    'load_part_vertices',
    'parse_name',
    'image_name',
    'read_dump',
    'read_submission',
    'write_archive',
]
