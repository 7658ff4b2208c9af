# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw the images of ``camera.md`` and ``visualization.md``.

The persons are those of a synthetic scene, with their true parameters.

python docs/en/result_images.py docs/en/images
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from aios.apis.cameras import change_camera
from aios.body_models import BodyPoser, SMPLXLayer
from aios.results import FrameResult
from aios.structures import Camera
from aios.synthetic import (
    BodyBank,
    SceneOptions,
    label_scene,
    labels_as_result,
    render_scene,
    sample_scene,
)
from aios.visualization import (
    OverlayDrawer,
    OverlayOptions,
    draw_label,
    write_image,
)

_SEED = 12
_SIZE = 640, 480
_DARK = (40, 42, 46)


def make_scene(layer: SMPLXLayer) -> tuple[FrameResult, np.ndarray]:
    """An image, and the persons in it with meshes."""
    rng = np.random.default_rng(_SEED)
    bank = BodyBank('free')
    options = SceneOptions(*_SIZE, persons=(3, 3), genders=('neutral',))
    scene = sample_scene(rng, bank, options)
    photograph = render_scene(rng, scene, bank)
    labels, _ = label_scene(scene, bank, photograph)
    frame = labels_as_result(labels, scene.view.camera, layer)
    return frame.posed(BodyPoser(layer)), photograph.image


def draw_overlay(
    frame: FrameResult, image: np.ndarray, layer: SMPLXLayer
) -> np.ndarray:
    """The image, the overlay, and the views from side and top."""
    options = OverlayOptions(('mesh', 'boxes', 'skeletons'), ('side', 'top'))
    drawn = OverlayDrawer(layer.faces.numpy(), options)(frame, image)
    return np.concatenate([image, drawn], axis=1)


def draw_cameras(
    frame: FrameResult, image: np.ndarray, layer: SMPLXLayer
) -> np.ndarray:
    """The same persons before the virtual camera and before the real one."""
    width, height = frame.size
    # As a network sees it that enlarges images to 800 rows.
    virtual = Camera.virtual(800, round(800 * width / height)).resize(
        width, height
    )
    poser = BodyPoser(layer)
    options = OverlayOptions(('mesh',), ('side', 'top'))
    panels = []
    for text, K in (("the network's camera", virtual.K), ('real', frame.K)):
        seen = change_camera(frame, K).posed(poser)
        drawn = OverlayDrawer(layer.faces.numpy(), options)(seen, image)
        depth = np.median(seen.instances['transl'][:, 2])
        label = f'{text}: f = {K[0, 0]:.0f} px, persons at {depth:.0f} m'
        panels.append(draw_label(drawn, label, (0, height), _DARK, 0.7))
    return np.concatenate(panels, axis=1)


def main() -> None:
    """Write all images into the folder that is named."""
    folder = Path(sys.argv[1])
    layer = SMPLXLayer('free').eval()
    frame, image = make_scene(layer)
    for name, draw in (('overlay', draw_overlay), ('camera', draw_cameras)):
        panel = draw(frame, image, layer)
        write_image(panel, folder / f'{name}.jpg', overwrite=True)


if __name__ == '__main__':
    main()
