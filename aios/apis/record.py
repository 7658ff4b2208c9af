# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The folder of a run: whether it may go on, and what is in it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from aios.export import EXPORTERS
from aios.results import RunRecord
from aios.results.run_record import RECORD
from aios.utils.run_folder import begin_run
from aios.utils.safe_io import remove_half_written

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
    """Make the folder of a run, or check that the run there may go on.

    Args:
        folder: Where results go.
        record: Of the run that is to be.
        overwrite: Remove results of an earlier run.
        resume: Go on with an earlier run, if there is one.

    Returns:
        The record of the run that goes on; ``None`` for a new one.

    Raises:
        FileExistsError: If the folder is not empty.
        ValueError: If the run there is another one.
    """
    earlier = RunRecord.load(folder)
    inner = earlier.folders if earlier is not None else []
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
                f'{folder}: the run there is complete. '
                'tools/params2mesh.py makes other files of it; '
                '--overwrite (overwrite=True) does it all again'
            )
        # They are made anew from the parts; others must not stay.
        _remove_products(folder, earlier.folders, keep=('parts',))
        record.save(folder)
    return earlier


def products() -> set[str]:
    """What a run may leave in a folder, besides its record."""
    exported = (Path(x.product) for x in EXPORTERS.values() if x.product)
    return {*_PRODUCTS, *(path.parts[0] for path in exported)}


def remove_record(folder: Path) -> None:
    """Forget a run that found nothing."""
    (folder / RECORD).unlink(missing_ok=True)


def _remove_products(
    folder: Path, inner: Sequence[str], keep: Sequence[str] = ()
) -> None:
    """Remove what a run wrote, and nothing else."""
    root = folder.resolve()
    for name in inner:
        place = (root / name).resolve()
        if root != place and root not in place.parents:
            continue  # a record that was edited by hand
        for product in products() - set(keep):
            path = place / product
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
