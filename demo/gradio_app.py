#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Local web page that detects persons in an image or a short video.

Needs ``pip install -r requirements/demo.txt``. No data leave the machine, and
the page loads nothing from the network. Only files uploaded in the browser are
read. Results are deleted when the next ones are requested,
uploads after half an hour, and all files when the program ends.

Examples:
    python demo/gradio_app.py
    python demo/gradio_app.py CONFIG CHECKPOINT --device cpu --port 8000
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aios.apis import AiOSInferencer
from aios.apis.cameras import CameraModel
from aios.apis.cli import (
    add_device_option,
    add_limits,
    add_model_arguments,
    model_and_weights,
)
from aios.apis.exit_codes import fail
from aios.apis.job import Outputs, run_inference
from aios.apis.post_processing import PostProcessing
from aios.apis.sources import open_sources
from aios.apis.viewer import make_viewer
from aios.results import SequenceResult
from aios.utils.command_line import make_parser, number
from aios.utils.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES

ERRORS = (OSError, RuntimeError, ValueError)

SUFFIXES = sorted({*IMAGE_SUFFIXES, *VIDEO_SUFFIXES})
UPLOADS_SECONDS = 1800

# The page may connect to this server only.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "connect-src 'self' blob: data:; form-action 'self'"
)


@dataclass(frozen=True)
class Found:
    """Content of the page after a request.

    Args:
        text: A sentence.
        image: Overlay of an image.
        video: Overlay of a video.
        viewer: The page of the viewer.
        files: What can be downloaded.
    """

    text: str
    image: Path | None = None
    video: Path | None = None
    viewer: Path | None = None
    files: tuple[Path, ...] = ()


class Finder:
    """Find persons in files, and make the content of the page.

    It keeps the results of the last call only.

    Args:
        inferencer: Finds persons.
        folder: Where results go.
        max_frames: Longer videos are cut.
    """

    def __init__(
        self, inferencer: AiOSInferencer, folder: Path, max_frames: int = 300
    ) -> None:
        self.inferencer = inferencer
        self.folder = folder
        self.max_frames = max_frames
        self._last: Path | None = None

    def __call__(
        self,
        path: str | os.PathLike,
        score_thr: float,
        fov: float | None = None,
        smooth: bool = True,
    ) -> Found:
        """Find persons.

        Args:
            path: An image or a video.
            score_thr: Lowest score.
            fov: Angle of view, degrees; 0 or None if unknown.
            smooth: Track persons through a video, and smooth their motion.

        Raises:
            ValueError: If the file is neither, or cannot be read.
        """
        finder = self.inferencer
        finder.instance_filter = replace(
            finder.instance_filter, score_thr=score_thr
        )
        finder.camera = CameraModel.create(fov=fov or None)
        if self._last is not None:
            shutil.rmtree(self._last, ignore_errors=True)
        out_dir = self._last = Path(tempfile.mkdtemp(dir=self.folder))
        sources = open_sources(path, end=self.max_frames)
        (source,) = sources
        is_video = source.is_sequence
        processing = PostProcessing(
            track=is_video and smooth, smooth=is_video and smooth
        )
        summary = run_inference(
            self.inferencer,
            sources,
            out_dir,
            outputs=Outputs(params=False, formats=['glb']),
            processing=processing,
        )
        params, animation = out_dir / 'params.npz', out_dir / 'persons.glb'
        viewer = out_dir / 'viewer.html'
        persons = SequenceResult.load(params)
        with tempfile.TemporaryDirectory() as scratch:
            make_viewer(
                persons, out_dir, viewer, scratch, source=path, title='Persons'
            )
        overlay = out_dir / 'vis.mp4' if is_video else None
        image = None if is_video else next((out_dir / 'vis').iterdir())
        text = (
            f'{len(persons.person_ids)} persons in {summary.frames} '
            f'frame{"s" if summary.frames > 1 else ""}.'
        )
        if summary.frames == self.max_frames and is_video:
            text += f' Only the first {self.max_frames} frames were read.'
        if not summary.persons:
            text = 'No persons were found; try a lower score.'
        for problem in summary.problems:  # after the name of the file
            text += f' Problem: {problem.partition(": ")[2]}.'
        files = (params, animation, viewer, overlay or image)
        return Found(
            text, image, overlay, viewer, tuple(f for f in files if f)
        )


def frame_of(viewer: Path) -> str:
    """An HTML element with the viewer in a sandbox."""
    page = html.escape(viewer.read_text('utf-8'), quote=True)
    return (
        '<iframe title="viewer" sandbox="allow-scripts" '
        'style="width:100%;height:70vh;border:0" '
        f'srcdoc="{page}"></iframe>'
    )


def check_upload(path: str | os.PathLike, uploads: str | os.PathLike) -> Path:
    """Check that a browser uploaded the file of a request.

    Requests can be written by hand, and name any file of this machine.

    Args:
        path: What the request names.
        uploads: Folder of the uploads.

    Raises:
        ValueError: If it is another file, or no image or video.
    """
    file = Path(path).resolve()
    inside = Path(uploads).resolve() in file.parents
    if not (inside and file.is_file() and file.suffix.lower() in SUFFIXES):
        raise ValueError(
            'only uploaded images and videos are read; allowed suffixes: '
            + ', '.join(SUFFIXES)
        )
    return file


def make_handler(finder: Finder) -> Callable[..., list[Any]]:
    """Make the callback of the button."""
    import gradio as gr
    from gradio.utils import get_upload_folder

    def show(
        path: str | None,
        score_thr: float,
        fov: float,
        smooth: bool,
        progress: Any = gr.Progress(track_tqdm=True),  # noqa: B008
    ) -> list[Any]:
        if not path:
            raise gr.Error('Choose an image or a video first.')
        try:
            upload = check_upload(path, get_upload_folder())
            found = finder(upload, score_thr, fov, smooth)
        except ERRORS as error:
            text = str(error).replace(str(finder.folder), '…')
            raise gr.Error(text) from error
        image, video = found.image, found.video
        return [
            found.text,
            gr.Image(value=image and str(image), visible=bool(image)),
            gr.Video(value=video and str(video), visible=bool(video)),
            frame_of(found.viewer) if found.viewer else '',
            [str(file) for file in found.files],
        ]

    return show


def add_inputs(score_thr: float) -> list[Any]:
    """Add the inputs: file, score, field of view, smoothing."""
    import gradio as gr

    return [
        gr.File(label='Image or short video', file_types=SUFFIXES),
        gr.Slider(0.0, 1.0, value=score_thr, step=0.05, label='Lowest score'),
        gr.Number(
            value=0,
            minimum=0,
            maximum=179,
            label='Angle of view in degrees (0: not known)',
        ),
        gr.Checkbox(
            value=True, label='Videos: track persons, smooth their motion'
        ),
    ]


def build_page(finder: Finder) -> Any:
    """Build the page, ``gradio.Blocks``."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_OFFLINE'] = '1'
    import gradio as gr

    with gr.Blocks(
        title='AiOS',
        analytics_enabled=False,
        delete_cache=(UPLOADS_SECONDS // 6, UPLOADS_SECONDS),
    ) as page:
        gr.Markdown('# Bodies, hands and faces of all persons')
        with gr.Row():
            with gr.Column(scale=1):
                inputs = add_inputs(
                    finder.inferencer.instance_filter.score_thr
                )
                button = gr.Button('Find persons', variant='primary')
                text = gr.Markdown()
                files = gr.File(
                    label='Download', file_count='multiple', interactive=False
                )
            with gr.Column(scale=2):
                image = gr.Image(label='Overlay', visible=False)
                video = gr.Video(label='Overlay', visible=False)
                viewer = gr.HTML(label='3-D')
        button.click(
            make_handler(finder),
            inputs,
            [text, image, video, viewer, files],
            concurrency_limit=1,
        )
    return page


def build_server(page: Any, max_upload: int = 200 << 20) -> Any:
    """Build the server, ``fastapi.FastAPI``.

    Args:
        page: See :func:`build_page`.
        max_upload: Largest file that is taken, in bytes.
    """
    import gradio as gr
    from fastapi import FastAPI

    server = FastAPI()

    @server.middleware('http')
    async def restrict(request: Any, answer: Any) -> Any:
        response = await answer(request)
        response.headers['Content-Security-Policy'] = POLICY
        return response

    system = ['system-ui', 'sans-serif']
    theme = gr.themes.Base(font=system, font_mono=['monospace'])
    return gr.mount_gradio_app(
        server, page, path='/', theme=theme, max_file_size=max_upload
    )


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = make_parser(__doc__)
    add_model_arguments(parser)
    add_device_option(parser)
    add_limits(parser)
    parser.add_argument(
        '--max-frames',
        type=number(int, 1),
        default=300,
        help='maximum number of frames read from a video (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--max-upload',
        type=number(int, 1),
        default=200,
        metavar='MB',
        help='maximum upload size (default: %(default)s)',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; 0.0.0.0 gives other machines access, '
        'without a password (default: %(default)s)',
    )
    parser.add_argument('--port', type=number(int, 0, 65535), default=7860)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Serve the page until Ctrl-C."""
    args = build_parser().parse_intermixed_args(argv)
    if importlib.util.find_spec('gradio') is None:
        fail('gradio is not installed: pip install -r requirements/demo.txt')
    model, weights = model_and_weights(args)
    # Otherwise what is in the folder would stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix='aios-web-') as folder:
        # Also what browsers upload.
        os.environ['GRADIO_TEMP_DIR'] = str(Path(folder, 'gradio'))
        try:
            inferencer = AiOSInferencer(
                model,
                weights,
                args.device,
                score_thr=args.score_thr,
                max_persons=args.max_persons,
            )
        except ERRORS as error:
            fail(error)
        results = Path(folder, 'results')
        results.mkdir()
        finder = Finder(inferencer, results, args.max_frames)
        server = build_server(build_page(finder), args.max_upload << 20)
        import uvicorn

        print(f'open http://{args.host}:{args.port} in a browser')
        uvicorn.run(
            server,
            host=args.host,
            port=args.port,
            log_level='warning',
            timeout_graceful_shutdown=5,
        )


if __name__ == '__main__':
    main()
