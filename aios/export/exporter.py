# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Interface of the file formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aios.results import FrameResult, SequenceResult
from aios.utils.safe_io import refuse_existing

if TYPE_CHECKING:
    from aios.body_models import BodyModel

FPS_OPTION: dict[str, dict[str, Any]] = {
    '--fps': dict(
        type=float,
        help='frames per second, for images and --from (default: 1; amass: '
        '30)',
    )
}


class Exporter:
    """A file format.

    Attributes:
        name: Its name for ``--format``.
        about: Description in one line.
        per: Content of a file: the whole run, a person, or a person in a
            frame.
        suffix: Suffix of the files.
        product: Files in the folder of a run, with ``{person}`` for the id;
            for ``'frame'`` a folder. Empty if runs do not write it.
        flag: Option of the demos, for example ``--save-glb``. Formats that
            share a flag are its choices.
        flag_help: Help text of the flag.
        needs_body: Whether the body model is needed.
        options: Options of ``tools/params2mesh.py`` and their keyword
            arguments of ``add_argument``. Their values are the ``options``
            of :meth:`export`.
    """

    name: str
    about: str
    per: Literal['run', 'person', 'frame'] = 'run'
    suffix: str
    product: str = ''
    flag: str = ''
    flag_help: str = ''
    needs_body: bool = True
    options: Mapping[str, dict[str, Any]] = MappingProxyType({})

    def export(
        self,
        sequence: SequenceResult,
        layer: BodyModel | None,
        path: Path,
        *,
        overwrite: bool = False,
        progress: bool = False,
        **options: Any,
    ) -> tuple[list[Path], list[str]]:
        """Write the files of a sequence.

        Args:
            sequence: The results.
            layer: Their body model; ``None`` if it is not needed.
            path: The file. With one file per person its name contains
                ``{person}``; with one per frame it is a folder.
            overwrite: Replace existing files.
            progress: Show a progress bar.
            **options: Values of :attr:`options`; missing ones have their
                defaults.

        Returns:
            The files, and remarks for the user.

        Raises:
            FileExistsError: If one of the files exists and ``overwrite`` is
                False; nothing is written then.
        """
        parts = {path: sequence}
        if self.per == 'person':
            parts = {
                path.with_name(
                    path.name.format(person=person)
                ): sequence.select(sequence.person_id == person)
                for person in sequence.person_ids.tolist()
            }
        for file in parts:
            refuse_existing(file, overwrite)
        options |= dict(overwrite=overwrite, progress=progress)
        remarks = [
            self.write(part, layer, file, **options)
            for file, part in parts.items()
        ]
        if self.per == 'person' and sequence.are_images:
            remarks.append(
                'the frames are separate images, in which the same id is not '
                'the same person'
            )
        return list(parts), [remark for remark in remarks if remark]

    def write(
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> str | None:
        """Write one file, which is of one person if :attr:`per` says so.

        Args:
            sequence: The results.
            layer: Their body model.
            path: The file.
            **options: ``overwrite``, ``progress`` and those of
                :attr:`options`.

        Returns:
            A remark for the user.
        """
        raise NotImplementedError

    def write_frame(
        self, frame: FrameResult, faces: np.ndarray, folder: Path
    ) -> None:
        """Write the files of a frame; only for formats with ``per='frame'``.

        Args:
            frame: The persons, with vertices.
            faces: ``(F, 3)`` triangles.
            folder: Folder of the files.
        """
        raise NotImplementedError
