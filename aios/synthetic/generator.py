# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Generation of whole datasets in several processes, resumable.

Every unit (an image or a sequence) has its own random generator, seeded by
the seed of the dataset and the number of the unit.  So the result does not
depend on the number of processes, their timing or interruptions.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from aios.body_models import find_body_model
from aios.synthetic.bodies import shared_bank
from aios.synthetic.human_data import to_human_data
from aios.synthetic.labels import label_scene
from aios.synthetic.photographic import sample_photographic_scene
from aios.synthetic.rendering import (
    background_image,
    finish_image,
    render_scene,
)
from aios.synthetic.scene import Scene, SceneOptions, sample_scene
from aios.synthetic.sequence import sample_sequence
from aios.synthetic.store import DatasetFolder
from aios.utils.locking import folder_lock
from aios.utils.processes import run_in_processes
from aios.visualization import VideoFile

GENERATOR_VERSION = 1
"""Increased whenever the same settings give different images."""
_PHOTOGRAPHIC_VERSION = 2  # likewise, for photographic images only

_SCENE, _IMAGE, _GRAIN, _SIZE = range(4)  # random streams of a unit


@dataclass(frozen=True)
class GeneratorOptions:
    """Settings of a dataset.

    Attributes:
        scene: Content of scenes.
        sizes: Widths and heights to draw from, one per unit, instead of the
            size of the scene.
        seed: Seed of the dataset.
        body: Model path for :func:`aios.body_models.find_body_model`.
        frames: Frames per unit; 1 for independent images.
        fps: Frames per second of sequences.
        video: Also write each sequence as ``.mp4``.
        supersample: Samples per pixel side.
        quality: JPEG quality.
    """

    scene: SceneOptions = field(default_factory=SceneOptions)
    seed: int = 0
    body: str = 'free'
    frames: int = 1
    fps: float = 15.0
    video: bool = False
    supersample: int = 2
    quality: int = 90
    sizes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.scene.photographic and self.frames > 1:
            raise ValueError('photographic sequences are not supported')
        if self.frames < 1:
            raise ValueError(f'frames must be positive, got {self.frames}')
        if not 0 < self.fps < math.inf:
            raise ValueError(f'fps must be positive, got {self.fps}')

    def settings(self) -> dict:
        """JSON values that determine the content.

        Raises:
            MissingBodyModelError: If a body model is missing.
        """
        scene = self.scene
        size: list[Any] = [scene.width, scene.height]
        if self.sizes:
            size = [list(s) for s in self.sizes]
        models = {g: find_body_model(self.body, g) for g in scene.genders}
        names = b'\n'.join(os.fsencode(p.name) for p in scene.backgrounds)
        settings = dict(
            version=GENERATOR_VERSION,
            seed=self.seed,
            frames=self.frames,
            fps=self.fps,
            video=self.video,
            supersample=self.supersample,
            quality=self.quality,
            size=size,
            people=list(scene.persons),
            genders=list(scene.genders),
            backgrounds=_digest([names]) if names else None,
            body={
                g: _digest([Path(p).read_bytes()]) for g, p in models.items()
            },
        )
        if scene.any_heading:  # optional, so that older datasets can resume
            settings['any_heading'] = True
        if scene.fill is not None:
            settings['fill'] = list(scene.fill)
        if scene.photographic:
            panoramas = (
                part
                for path in scene.panoramas
                for part in (os.fsencode(path.name), path.read_bytes())
            )
            settings['photographic'] = dict(
                version=_PHOTOGRAPHIC_VERSION,
                nobody=scene.empty,
                panoramas=_digest(panoramas) if scene.panoramas else None,
            )
        return settings


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:16]


def _rng(
    options: GeneratorOptions, unit: int, *stream: int
) -> np.random.Generator:
    return np.random.default_rng([options.seed, unit, *stream])


def _image_name(options: GeneratorOptions, unit: int, frame: int) -> str:
    if options.frames == 1:
        return f'images/{unit:06d}.jpg'
    return f'images/sequence_{unit:04d}/{frame:06d}.jpg'


def _scenes(options: GeneratorOptions, unit: int) -> list[Scene]:
    bank = shared_bank(options.body)
    rng = _rng(options, unit, _SCENE)
    content = options.scene
    if options.sizes:
        index = _rng(options, unit, _SIZE).integers(len(options.sizes))
        width, height = options.sizes[index]
        content = replace(content, width=width, height=height)
    if content.photographic:
        return [sample_photographic_scene(rng, bank, content)]
    if options.frames == 1:
        return [sample_scene(rng, bank, content)]
    return sample_sequence(rng, bank, content, options.frames, options.fps)


def generate_unit(
    options: GeneratorOptions, unit: int, folder: DatasetFolder
) -> int:
    """Draws, renders, labels and writes one unit.

    Args:
        options: Settings of the dataset.
        unit: Number of the image or sequence.
        folder: Where to write.

    Returns:
        Number of labeled persons.
    """
    bank = shared_bank(options.body)
    base = None
    counts: Counter = Counter()
    rows: list[dict[str, np.ndarray]] = []
    empty: list[tuple[str, int, int]] = []
    images: list[np.ndarray] = []
    for frame, scene in enumerate(_scenes(options, unit)):
        counts += scene.counts
        rng = _rng(options, unit, _IMAGE)
        if base is None:
            base = background_image(rng, scene)
        photograph = render_scene(
            _rng(options, unit, _IMAGE),
            scene,
            bank,
            supersample=options.supersample,
            base=base,
        )
        name = _image_name(options, unit, frame)
        image = finish_image(
            rng if options.frames == 1 else _rng(options, unit, _IMAGE),
            photograph.image,
            _rng(options, unit, _GRAIN, frame),
        )
        folder.write_image(name, image, options.quality)
        if options.video:
            images.append(image)
        labels, dropped = label_scene(scene, bank, photograph)
        counts += dropped
        if labels:
            rows.append(_with_names(options, labels, name, unit, frame))
        # Images of unlabeled (too small) persons do not count as empty.
        elif not np.isin(photograph.ids, range(len(scene.persons))).any():
            empty.append((name, *image.shape[:2]))
    if images:
        path = folder.root / f'videos/sequence_{unit:04d}.mp4'
        with VideoFile(path, options.fps, overwrite=True) as video:
            for image in images:
                video.write(image)
    merged = {
        key: np.concatenate([r[key] for r in rows])
        for key in (rows[0] if rows else ())
    }
    folder.finish_unit(unit, merged, counts, empty)
    return len(merged.get('bbox_xywh', ()))


def _with_names(
    options: GeneratorOptions,
    labels: dict[str, np.ndarray],
    name: str,
    unit: int,
    frame: int,
) -> dict[str, np.ndarray]:
    """Adds image, sequence and frame to the rows of an image."""
    count = len(labels['bbox_xywh'])
    labels['image_path'] = np.full(count, name)
    if options.frames > 1:
        labels['meta/sequence_name'] = np.full(count, f'sequence_{unit:04d}')
        labels['meta/frame_id'] = np.full(count, frame)
    return labels


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, since results may depend on their number."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


def generate_dataset(
    root: str | Path,
    count: int,
    options: GeneratorOptions,
    *,
    workers: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Counter:
    """Makes a dataset; an interrupted run can be resumed.

    Args:
        root: Output folder: ``images/`` and ``humandata.npz``.
        count: Images, or sequences if ``options.frames > 1``.  A resumed
            run may increase it, not decrease it.
        options: Settings; they must not change in a resumed run.
        workers: Number of processes; 1 uses this process.
        resume: Continue an interrupted or smaller dataset.
        overwrite: Replace an earlier dataset of this program.
        progress: Called with 1 after each unit.

    Returns:
        Counts: ``images``, ``persons`` and items rejected by each rule.

    Raises:
        FileExistsError: If the folder must not be changed.
        OtherSettingsError: If the existing dataset has other settings.
        FolderInUseError: If another run uses the folder.
        ChildProcessError: If a process died.
        MissingBodyModelError: If a body model is missing.
        ValueError: If ``count`` is not positive, or no person is visible in
            the whole dataset.
    """
    if count < 1:
        raise ValueError(f'count must be positive, got {count}')
    with folder_lock(root):
        folder = DatasetFolder(root)
        folder.open(options.settings(), resume=resume, overwrite=overwrite)
        folder.check_count(count)
        return _fill(folder, count, options, workers, progress)


def _fill(
    folder: DatasetFolder,
    count: int,
    options: GeneratorOptions,
    workers: int,
    progress: Callable[[int], None] | None,
) -> Counter:
    """Generate missing units, and write the annotation file."""
    todo = [unit for unit in range(count) if not folder.is_done(unit)]
    if not todo and folder.label_file.is_file():
        return _summary(folder, count, options)[1]
    # It lacks the missing units, and an interrupted run must not keep it.
    folder.label_file.unlink(missing_ok=True)
    calls = ((options, unit, folder) for unit in todo)
    with _one_thread():
        finished = chain(
            range(count - len(todo)),
            run_in_processes(generate_unit, calls, workers),
        )
        for _ in finished:
            if progress is not None:
                progress(1)
    rows, counts, empty = _summary(folder, count, options)
    if not rows:
        raise ValueError(f'{folder.root}: no person is visible in any image')
    scene = options.scene
    size = None if options.sizes else (scene.width, scene.height)
    data = to_human_data(
        rows,
        name='aios_synthetic',
        image_size=size,
        empty=empty,
    )
    data.dump(folder.label_file, overwrite=True)
    return counts


def _summary(
    folder: DatasetFolder, count: int, options: GeneratorOptions
) -> tuple[dict[str, np.ndarray], Counter, dict[str, list]]:
    rows, counts, empty = folder.read_units(range(count))
    counts['images'] = count * options.frames
    counts['persons'] = len(rows.get('bbox_xywh', ()))
    return rows, counts, empty
