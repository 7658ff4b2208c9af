# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tracks as the text files of MOTChallenge."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aios.results import FrameResult, SequenceResult
from aios.utils.safe_io import atomic_write

from .exporter import Exporter


def write_mot(
    path: str | os.PathLike,
    frames: Iterable[FrameResult],
    overwrite: bool = False,
) -> Path:
    """Write boxes of persons, one line per person and frame.

    A line is ``frame,id,left,top,width,height,score,-1,-1,-1``. Frames and
    ids start at 1 (https://arxiv.org/abs/1603.00831): a frame's number is its
    position in ``frames``, an id is ``person_id`` + 1. Boxes are in pixels.

    Args:
        path: The file.
        frames: All frames of a sequence, also those without persons.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    with atomic_write(path, overwrite=overwrite) as stream:
        for number, frame in enumerate(frames, start=1):
            instances = frame.instances
            for person, box, score in zip(
                instances['person_id'].tolist(),
                instances['bboxes'].tolist(),
                instances['scores'].tolist(),
                strict=True,
            ):
                left, top, right, bottom = box
                numbers = (left, top, right - left, bottom - top, score)
                text = ','.join(f'{number:.6g}' for number in numbers)
                line = f'{number},{person + 1},{text},-1,-1,-1\n'
                stream.write(line.encode())
    return path


class MOTExporter(Exporter):
    """Tracks."""

    name, suffix, needs_body = 'mot', '.txt', False
    about = 'boxes of tracks, text of MOTChallenge'

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> None:
        write_mot(path, sequence.frames(), options['overwrite'])
