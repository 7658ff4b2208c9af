# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write overlays as a folder of images or a video."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from aios.results import FrameResult

from .image_file import write_image
from .overlay import OverlayDrawer, OverlayOptions
from .video_file import VIDEO_SUFFIXES, VideoFile


class OverlayWriter:
    """Draw and write frames one by one.

    A video keeps the timestamps and the sound of its source. It is playable
    even if the process is killed; see
    :class:`~aios.visualization.VideoFile`.

    Args:
        path: A folder, or a video by its suffix (``.mp4``, ``.mov``).
        faces: ``(F, 3)`` triangles of the field ``vertices``.
        fps: Frames per second of a video.
        sound_of: Video whose sound is copied.
        options: What to draw.
        suffix: Suffix of images, which determines the format.
        overwrite: Replace existing files.

    Attributes:
        per_frame: Whether each frame has its own file.
        needs_image: Always True; frames without an image cannot be drawn.
        needs_vertices: Whether meshes or views are drawn.

    Raises:
        FileExistsError: If the video, or later an image, exists.
        ValueError: If a video has no ``fps``.
    """

    needs_image = True

    def __init__(
        self,
        path: str | os.PathLike,
        faces: np.ndarray,
        fps: float = 0.0,
        sound_of: str | os.PathLike | None = None,
        options: OverlayOptions | None = None,
        suffix: str = '.jpg',
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.suffix = suffix
        self.overwrite = overwrite
        self.per_frame = self.path.suffix.lower() not in VIDEO_SUFFIXES
        self._draw = OverlayDrawer(faces, options)
        chosen = self._draw.options
        self.needs_vertices = 'mesh' in chosen.layers or bool(chosen.views)
        self._video = None
        if not self.per_frame:
            self._video = VideoFile(path, fps, sound_of, overwrite)

    def is_done(self, name: str) -> bool:
        """Whether the image of a frame exists."""
        return self.per_frame and self._image(name).exists()

    def write(self, frame: FrameResult, image: np.ndarray | None) -> None:
        """Draw and write a frame.

        Args:
            frame: The persons.
            image: ``(H, W, 3)`` uint8 RGB; not changed.

        Raises:
            ValueError: If there is no image.
        """
        if image is None:
            raise ValueError(f'frame {frame.name!r}: has no image to draw on')
        drawn = self._draw(frame, image)
        if self._video is not None:
            self._video.write(drawn, frame.timestamp)
        else:
            path = self._image(frame.name)
            write_image(drawn, path, overwrite=self.overwrite)

    def __enter__(self) -> OverlayWriter:
        return self

    def __exit__(self, *error: object) -> None:
        if self._video is not None:
            self._video.__exit__(*error)

    def close(self) -> None:
        """Finish the video."""
        if self._video is not None:
            self._video.close()

    def _image(self, name: str) -> Path:
        return self.path / f'{name}{self.suffix}'
