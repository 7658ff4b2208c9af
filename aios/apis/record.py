# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The folder of a run: check, resume and clear it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from aios.export import EXPORTERS
from aios.results import RunRecord
from aios.results.run_record import RECORD
from aios.utils.run_folder import begin_run
from aios.utils.safe_io import CorruptFileError, remove_half_written

from .sources import FrameSource, flat_names

_PRODUCTS = (
    'ground.json',
    'params',
    'params.npz',
    'parts',
    'vis',
    'vis.final.mp4',
    'vis.mp4',
    'vis.partial.mp4',
)


def prepare_folder(
    folder: Path, record: RunRecord, overwrite: bool, resume: bool
) -> RunRecord | None:
    """Make the folder of a run, or check that the earlier run may continue.

    Args:
        folder: Folder of the results.
        record: Record of the new run.
        overwrite: Remove results of an earlier run.
        resume: Continue an earlier run, if there is one.

    Returns:
        The record of the resumed run; ``None`` for a new one.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the earlier run had other settings.
    """
    earlier, inner = None, ['.']
    try:
        earlier = RunRecord.load(folder)
    except CorruptFileError:
        if resume or not overwrite:
            raise
    if earlier is not None:
        inner = earlier.folders
    resumed = begin_run(
        folder,
        RECORD,
        record.__dict__,
        resume=resume,
        overwrite=overwrite,
        clear=lambda: _remove_products(folder, inner),
        compared=['fingerprint'],
    )
    if earlier is None or not resumed:
        return None
    remove_half_written(folder, recursive=True)
    if earlier.presentation != record.presentation:
        if earlier.complete:
            raise ValueError(
                f'{folder}: this run is complete. tools/params2mesh.py '
                'converts its results; --overwrite (overwrite=True) repeats '
                'the run'
            )
        # Files are made again from raw parts; obsolete ones are removed.
        _remove_products(folder, earlier.folders, keep=('parts',))
        record.save(folder)
    return earlier


def products() -> set[str]:
    """Files and folders that a run may write, besides its record."""
    exported = (Path(x.product) for x in EXPORTERS.values() if x.product)
    return {*_PRODUCTS, *(path.parts[0] for path in exported)}


def source_folders(sources: Sequence[FrameSource]) -> list[str]:
    """Folder of each source, relative: with several that of a video."""
    if len(sources) == 1:
        return ['.']
    names: list[str] = []
    paths = [Path(source.name) for source in sources if source.is_sequence]
    own = iter(flat_names(paths) if paths else ())
    for source in sources:
        name = '.'
        if source.is_sequence:
            name = next(own)
            taken = {other.lower() for other in (*names, *products())}
            while name.lower() in taken:
                name += '_'
        names.append(name)
    return names


def remove_record(folder: Path) -> None:
    """Remove the record of a run without results."""
    (folder / RECORD).unlink(missing_ok=True)


def _remove_products(
    folder: Path, inner: Sequence[str], keep: Sequence[str] = ()
) -> None:
    """Remove only files and folders that a run wrote."""
    root = folder.resolve()
    for name in inner:
        subfolder = (root / name).resolve()
        if root != subfolder and root not in subfolder.parents:
            continue  # the record was edited by hand
        for product in {*products(), 'parts/final'} - set(keep):
            path = subfolder / product
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
