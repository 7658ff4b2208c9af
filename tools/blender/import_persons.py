# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Open results in Blender: persons, camera, frame rate, background video.

    blender --python tools/blender/import_persons.py -- outputs/video_demo

The folder contains ``persons.glb`` (--save-glb of the demos) and optionally
``vis.mp4``. To save a file without opening a window:

    blender --background --python tools/blender/import_persons.py -- \
        outputs/video_demo --background-video dance.mp4 --save dance.blend

``--fbx dance.fbx`` writes an FBX file for programs that read FBX only. Needs
Blender 4.2 or newer, or the module ``bpy`` from pip:
``python tools/blender/import_persons.py outputs/video_demo``.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

_SENSOR = 36.0  # millimeters across the image's width


def read_document(path: Path) -> dict[str, Any]:
    """The JSON of a GLB file with persons.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is another file, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: no such file; create persons.glb with --save-glb of '
            'the demos, or from params.npz with tools/params2mesh.py '
            '--format glb'
        )
    with open(path, 'rb') as stream:
        header = stream.read(20)
        if len(header) < 20 or header[:4] != b'glTF':
            raise ValueError(f'{path}: not a GLB file')
        size, length = struct.unpack('<8xII', header[:16])
        text = stream.read(length)
    found = path.stat().st_size
    if found != size or len(text) < length:
        raise ValueError(f'{path}: truncated, it has {found} of {size} bytes')
    document = json.loads(text)
    if not any(x.get('name') == 'persons' for x in document.get('nodes', ())):
        raise ValueError(
            f'{path}: GLB file of another program, not of this package'
        )
    return document


def blender_camera(
    K: list[list[float]], width: int, height: int
) -> dict[str, float]:
    """Settings of a camera of Blender that is equal to ``K``.

    Args:
        K: Intrinsics in pixels.
        width: Of the image, pixels.
        height: Of the image, pixels.

    Returns:
        ``lens`` and ``sensor_width`` in millimeters, ``shift_x`` and
        ``shift_y``, and ``pixel_aspect_x`` and ``pixel_aspect_y``.
    """
    fx, fy, cx, cy = K[0][0], K[1][1], K[0][2], K[1][2]
    # Blender has one focal length, and pixels that may not be square.
    aspect_x, aspect_y = (1.0, fx / fy) if fx >= fy else (fy / fx, 1.0)
    ratio = aspect_y / aspect_x  # height of a pixel in widths
    # Shifts are shares of the sensor's width (sensor_fit is HORIZONTAL).
    return {
        'lens': fx * _SENSOR / width,
        'sensor_width': _SENSOR,
        'shift_x': (width / 2 - cx) / width,
        'shift_y': (cy - height / 2) * ratio / width,
        'pixel_aspect_x': aspect_x,
        'pixel_aspect_y': aspect_y,
    }


def frame_range(extras: dict[str, Any]) -> tuple[float, int]:
    """Frames per second, and number of the last frame, from 0.

    The number of frames does not suffice, as results may lack some.

    Args:
        extras: Of the scene.
    """
    fps = extras.get('fps') or 1.0
    if 'duration' in extras:  # float32: a little more is no frame
        return fps, max(0, math.ceil(extras['duration'] * fps - 0.05))
    return fps, max(0, extras.get('num_frames', 1) - 1)


def source_clock(
    extras: dict[str, Any], video: Path | None
) -> tuple[float | None, int]:
    """Frame rate of a background video, and its frame at the first result.

    Results may begin later and have fewer frames than their source; an overlay
    begins with them.

    Args:
        extras: Of the scene.
        video: The background, the source by its name; else an overlay.

    Returns:
        Frames per second, ``None`` for that of the results; number from 0.
    """
    source = extras.get('source', '').replace('\\', '/').rpartition('/')[2]
    if video is None or video.name != source or 'source_fps' not in extras:
        return None, 0
    return extras['source_fps'], extras['source_first_frame']


def import_persons(folder: Path, video: Path | None = None) -> None:
    """Set up the scene.

    Args:
        folder: With ``persons.glb``.
        video: Shown behind the persons.

    Raises:
        OSError: If a file is not there.
        ValueError: If it is another file.
    """
    import bpy

    path = folder / 'persons.glb' if folder.is_dir() else folder
    document = read_document(path)
    extras = document['scenes'][0].get('extras', {})
    scene = bpy.context.scene
    for item in list(bpy.data.objects):  # cube, lamp and camera
        bpy.data.objects.remove(item)
    # Before the import: Blender places keys by the scene's frame rate.
    fps, first = source_clock(extras, video)
    fps, last = frame_range(extras | ({'fps': fps} if fps else {}))
    scene.render.fps = max(1, round(fps))
    scene.render.fps_base = scene.render.fps / fps
    bpy.ops.import_scene.gltf(filepath=str(path), bone_heuristic='BLENDER')
    _widen_sliders()
    # The importer counts from frame 0.
    scene.frame_start, scene.frame_current, scene.frame_end = 0, 0, last
    _set_camera(document, video, first)
    light = bpy.data.lights.new('sun', 'SUN')
    light.energy = 3.0
    sun = bpy.data.objects.new('sun', light)
    sun.rotation_euler = (math.radians(50), 0.0, math.radians(30))
    scene.collection.objects.link(sun)


def _widen_sliders() -> None:
    """Extend the range of shape keys to all values of their animation.

    Blender's importer (seen in 5.0) makes room for the first key only, and
    values beyond the slider are cut off: errors of a centimeter.
    """
    import bpy

    for keys in bpy.data.shape_keys:
        for block in keys.key_blocks[1:]:
            block.slider_min, block.slider_max = -10.0, 10.0


def _set_camera(
    document: dict[str, Any], video: Path | None, first: int
) -> None:
    """Look through the camera that took the images.

    Args:
        document: Of the GLB file.
        video: Shown behind the persons.
        first: Its frame at the first frame of the scene.
    """
    import bpy

    cameras = [item for item in bpy.data.objects if item.type == 'CAMERA']
    if not cameras:  # results without a frame
        return
    scene, camera = bpy.context.scene, cameras[0]
    scene.camera = camera
    view = document['cameras'][0]['extras']
    width, height = view['width'], view['height']
    settings = blender_camera(view['K'], width, height)
    scene.render.resolution_x, scene.render.resolution_y = width, height
    for name in ('pixel_aspect_x', 'pixel_aspect_y'):
        setattr(scene.render, name, settings.pop(name))
    camera.data.sensor_fit = 'HORIZONTAL'
    for name, value in settings.items():
        setattr(camera.data, name, value)
    if video is not None:
        clip = bpy.data.movieclips.load(str(video.resolve()))
        clip.frame_start = -first
        behind = camera.data.background_images.new()
        behind.source, behind.clip, behind.alpha = 'MOVIE_CLIP', clip, 1.0
        camera.data.show_background_images = True


def export_fbx(path: Path) -> None:
    """Write the persons and the camera of the scene as an FBX file.

    Args:
        path: The file; replaced if it exists.
    """
    import bpy

    scene = bpy.context.scene
    persons = bpy.data.objects['persons']
    # FBX stores the pose in which bodies are bound to their bones. Persons
    # who are absent have no size, and nothing can be bound to their bones.
    scene.frame_set(scene.frame_start - 1)
    for person in persons.children:
        person.scale = (1.0, 1.0, 1.0)
        person.keyframe_insert('scale', frame=scene.frame_current)
    scene.frame_set(scene.frame_current)
    # The importer's other objects, such as shapes of bones, are not results.
    wanted = {persons, *persons.children_recursive, scene.camera}
    for item in scene.objects:
        item.select_set(item in wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.stem}.part.fbx')
    try:
        bpy.ops.export_scene.fbx(
            filepath=str(unfinished.resolve()),
            use_selection=True,
            add_leaf_bones=False,
            bake_anim_use_nla_strips=False,
            bake_anim_use_all_actions=False,
            bake_anim_simplify_factor=0.0,  # keep every key
        )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog='import_persons.py',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'results',
        type=Path,
        help='output folder of a demo, or its persons.glb',
    )
    parser.add_argument(
        '--background-video',
        type=Path,
        metavar='FILE',
        help='video shown behind the persons',
    )
    parser.add_argument(
        '--save', type=Path, metavar='FILE', help='save as a .blend file'
    )
    parser.add_argument(
        '--fbx', type=Path, metavar='FILE', help='export an FBX file'
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Set up the scene, and write the requested files."""
    if argv is None:
        start = sys.argv.index('--') + 1 if '--' in sys.argv else 1
        argv = sys.argv[start:]
    args = build_parser().parse_args(argv)
    try:
        import bpy
    except ModuleNotFoundError:
        sys.exit(
            'error: run this script in Blender, or install the module bpy: '
            'pip install bpy'
        )
    for path in (args.save, args.fbx):
        if path is not None and path.exists():
            sys.exit(f'error: {path} already exists; choose another file')
    try:
        import_persons(args.results, args.background_video)
        if args.save is not None:
            bpy.ops.wm.save_as_mainfile(filepath=str(args.save.resolve()))
        if args.fbx is not None:
            export_fbx(args.fbx)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
