# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folder of a synthetic dataset during generation.

``images/`` holds the images; ``.synthetic/`` holds the settings and one
small label file per finished unit (an image or a sequence), so that an
interrupted run can be resumed; ``humandata.npz`` is written at the end.
Files are only replaced on request, and are written atomically.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aios.utils.run_folder import begin_run
from aios.utils.safe_io import load_npz, remove_half_written, save_npz
from aios.visualization import write_image

LABEL_FILE = 'humandata.npz'
_SETTINGS = '.synthetic/settings.json'
_COUNT, _EMPTY = 'count/', 'empty/'
_EMPTY_FIELDS = ('image_path', 'height', 'width')


class DatasetFolder:
    """Output folder of :mod:`aios.synthetic.generator`.

    Args:
        root: The folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._labels = self.root / '.synthetic/labels'

    @property
    def label_file(self) -> Path:
        """The final annotation file."""
        return self.root / LABEL_FILE

    def open(
        self,
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Prepares the folder for a run.

        Args:
            settings: JSON values that determine the content.
            resume: Continue an interrupted run.
            overwrite: Delete an earlier dataset of this program first.

        Raises:
            FileExistsError: If the folder holds foreign files, or a dataset
                although neither option is given.
            OtherSettingsError: If the dataset has other settings.
            CorruptFileError: If the existing settings are damaged.
        """
        begin_run(
            self.root,
            _SETTINGS,
            settings,
            resume=resume,
            # Never delete foreign files.
            overwrite=overwrite and (self.root / _SETTINGS).is_file(),
            clear=self._clear,
        )
        remove_half_written(self.root, recursive=True)
        self._labels.mkdir(parents=True, exist_ok=True)

    def _clear(self) -> None:
        self.label_file.unlink(missing_ok=True)
        for folder in ('images', 'videos'):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        shutil.rmtree(self._labels, ignore_errors=True)

    def is_done(self, unit: int) -> bool:
        """Whether a unit is finished."""
        return self._unit_file(unit).is_file()

    def check_count(self, count: int) -> None:
        """Refuses to make a dataset smaller.

        Args:
            count: Requested number of units.

        Raises:
            FileExistsError: If there are already more.
        """
        last = max(self.units(), default=-1)
        if last >= count:
            raise FileExistsError(
                f'{self.root} already has unit {last}, more than the '
                f'requested {count}; use --overwrite or another folder'
            )

    def units(self) -> list[int]:
        """Finished units, ascending."""
        return sorted(int(p.stem) for p in self._labels.glob('[0-9]*.npz'))

    def _unit_file(self, unit: int) -> Path:
        return self._labels / f'{unit:06d}.npz'

    def write_image(self, name: str, image: np.ndarray, quality: int) -> None:
        """Writes an image.

        Args:
            name: Path relative to the folder, ``.jpg``.
            image: ``(H, W, 3)`` uint8 RGB.
            quality: JPEG quality, 1 to 100.
        """
        # An image without its labels belongs to an interrupted run.
        write_image(image, self.root / name, overwrite=True, quality=quality)

    def finish_unit(
        self,
        unit: int,
        rows: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        empty: Sequence[tuple[str, int, int]] = (),
    ) -> None:
        """Marks a unit as done, after its images are written.

        Args:
            unit: Number of the unit.
            rows: Label arrays, one row per person.
            counts: Numbers of rejected items, by rule.
            empty: Name, height and width of the images without persons.
        """
        columns = zip(*empty, strict=True)
        arrays = {
            **rows,
            **{
                _EMPTY + key: np.asarray(column)
                for key, column in zip(_EMPTY_FIELDS, columns, strict=False)
            },
            **{_COUNT + k: np.int64(v) for k, v in counts.items()},
        }
        save_npz(self._unit_file(unit), arrays, overwrite=True)

    def read_units(
        self, units: range
    ) -> tuple[dict[str, np.ndarray], Counter, dict[str, list]]:
        """Reads the labels of finished units.

        Args:
            units: Numbers of the units.

        Returns:
            Concatenated label arrays, summed counts, and lists
            ``image_path``, ``height`` and ``width`` of the images without
            persons.
        """
        parts: list[dict[str, np.ndarray]] = []
        counts: Counter = Counter()
        empty: dict[str, list] = {key: [] for key in _EMPTY_FIELDS}
        for unit in units:
            rows = {}
            for key, value in load_npz(self._unit_file(unit)).items():
                if key.startswith(_COUNT):
                    counts[key.removeprefix(_COUNT)] += int(value)
                elif key.startswith(_EMPTY):
                    empty[key.removeprefix(_EMPTY)] += value.tolist()
                else:
                    rows[key] = value
            if rows:
                parts.append(rows)
        merged = {
            key: np.concatenate([part[key] for part in parts])
            for key in (parts[0] if parts else ())
        }
        return merged, counts, empty
