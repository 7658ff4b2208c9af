# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Make an HTML page from a folder of results."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.body_models import NumpySMPLXLayer
from aios.export import write_glb
from aios.results import SequenceResult
from aios.results.schema import DEFAULT_BODY_MODEL
from aios.utils.choices import check_choice
from aios.viewer import (
    ImageTrack,
    check_animation,
    make_image_track,
    write_viewer,
)

from .sources import Frame, FrameSource, open_sources

MODES = ('source', 'overlay', 'none')
"""Images beside the persons."""

_TOLERANCE = 1e-3  # meters; invisible, and reduces the size to a tenth


def make_viewer(
    persons: SequenceResult,
    folder: str | os.PathLike,
    path: str | os.PathLike,
    scratch: str | os.PathLike,
    *,
    mode: str = 'source',
    source: str | os.PathLike | None = None,
    run: SequenceResult | None = None,
    model_path: str | os.PathLike | None = None,
    max_side: int = 640,
    title: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> int:
    """Make a page of results.

    Args:
        persons: The persons.
        folder: Folder of the demo with ``vis``, and with ``persons.glb``,
            which is used without ``model_path`` if it is of these persons.
        path: The ``.html`` file.
        scratch: Empty folder for temporary files.
        mode: One of :data:`MODES`.
        source: Video or images; default: the source of the results, if it is
            inside ``folder``.
        run: All results of the run, if ``persons`` is a part of them; an
            overlay shows all frames.
        model_path: SMPL-X files, or ``'free'``; default: those of the
            results.
        max_side: Longest side of the images, pixels.
        title: Title of the page.
        overwrite: Replace an existing file.
        progress: Show progress bars.

    Returns:
        Size of the page in bytes.

    Raises:
        FileNotFoundError: If there are no images.
        FileExistsError: If the page exists and ``overwrite`` is False.
        ValueError: If the images are not those of the results.
    """
    check_choice('mode', mode, MODES)
    folder, scratch = Path(folder), Path(scratch)
    track = None
    if mode != 'none' and persons.num_frames:
        found = source or find_images(persons, folder, mode)
        overlay = None
        if mode == 'overlay' and persons.fps:
            overlay = run or persons
        track = _make_track(
            persons, found, scratch, overlay, max_side, progress
        )
    glb = folder / 'persons.glb'
    is_current = _is_inside(glb, folder) and _is_animation_of(glb, persons)
    if model_path or not is_current:
        glb = scratch / 'persons.glb'
        layer: Any = None
        if persons.has_parameters:
            name = model_path or persons.body_model or 'free'
            layer = NumpySMPLXLayer(
                None if name == DEFAULT_BODY_MODEL else name, persons.gender
            )
        write_glb(persons, layer, glb, tolerance=_TOLERANCE, progress=progress)
    return write_viewer(
        persons, glb, path, images=track, title=title, overwrite=overwrite
    )


def find_images(
    persons: SequenceResult, folder: str | os.PathLike, mode: str = 'source'
) -> Path:
    """Find the video or the folder with the images of results.

    Results may be of unknown origin, so only files inside their own folder
    are opened.

    Args:
        persons: The results.
        folder: Folder of the results.
        mode: ``'source'`` or ``'overlay'``.

    Raises:
        FileNotFoundError: If there are no images.
    """
    names = ('vis.mp4', 'vis.partial.mp4', 'vis')  # partial: not finished
    overlays = [Path(folder, name) for name in names]
    choices = overlays if mode == 'overlay' else [Path(persons.source)]
    for choice in choices:
        if persons.source and _is_inside(choice, folder):
            return choice
    raise FileNotFoundError(
        f'{choices[0]}: {folder} contains no images; set --source, or '
        'another value of --images (none shows persons only)'
    )


def _is_inside(path: Path, folder: str | os.PathLike) -> bool:
    """Whether a path exists and, links resolved, is inside the folder."""
    return path.exists() and Path(folder).resolve() in path.resolve().parents


def _is_animation_of(glb: Path, persons: SequenceResult) -> bool:
    """Whether a file is that of the persons; not if they have changed."""
    try:
        check_animation(glb, persons)
    except ValueError:
        return False
    return True


def _make_track(
    persons: SequenceResult,
    source: str | os.PathLike,
    scratch: Path,
    overlay: SequenceResult | None,
    max_side: int,
    progress: bool,
) -> ImageTrack:
    shown, start = None, 0.0
    if overlay is not None:
        shown = overlay.frame_names.tolist()
        start = overlay.timestamps[0]
    # Of the video, as its sound begins earlier than the first frame.
    times = persons.timestamps - start
    if not (np.diff(times) > 0).all():
        times = persons.times()
    images = tqdm(
        _images(persons, source, shown),
        total=persons.num_frames,
        unit='image',
        disable=not progress,
    )
    sound = source if persons.fps and Path(source).is_file() else None
    return make_image_track(
        images,
        scratch,
        times,
        fps=persons.fps,
        sound_of=sound,
        max_side=max_side,
    )


def _images(
    persons: SequenceResult,
    source: str | os.PathLike,
    shown: Sequence[str] | None,
) -> Iterator[np.ndarray | None]:
    """RGB images of the frames, in order; ``None`` for missing ones.

    Args:
        persons: The results.
        source: Video or folder of the images.
        shown: Names of the frames of a video, in order; default: their
            numbers.
    """
    wanted = persons.frame_names.tolist()
    if shown is not None:
        places = {name: f'{place:06d}' for place, name in enumerate(shown)}
        wanted = [places[name] for name in wanted]
    numbers = {name: index for index, name in enumerate(wanted)}
    done, found = 0, 0
    for frame in _read(source, numbers):
        number = numbers[frame.name]
        if number < done:
            continue
        yield from [None] * (number - done)
        image = frame.image
        found += image is not None
        yield None if image is None else np.ascontiguousarray(image[..., ::-1])
        done = number + 1
        if done == len(wanted):
            break
    if not found:
        raise ValueError(
            f'{source}: has no images of the frames {wanted[0]!r} to '
            f'{wanted[-1]!r} of the results'
        )
    yield from [None] * (len(wanted) - done)


def _read(
    source: str | os.PathLike, numbers: dict[str, int]
) -> Iterator[Frame]:
    """Frames with one of the names; other images are not decoded."""
    for part in open_sources(source, recursive=True):
        for frame in part.frames(partial(_is_wanted, part, numbers)):
            if frame.name in numbers:
                yield frame


def _is_wanted(
    source: FrameSource, numbers: dict[str, int], index: int
) -> bool:
    return source.frame_name(index) in numbers
