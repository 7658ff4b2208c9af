#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Detect persons in images and write meshes, parameters and overlays.

In the output folder:

    params.npz                  persons of all images, see
                                aios.results.SequenceResult
    params/NAME.npz             persons of image NAME
    vis/NAME.jpg                the image with boxes, skeletons and bodies
    mesh/NAME_person0.obj       a mesh per person, best score first, in meters
                                and camera axes (x right, y down, z forward)

Examples:
    python demo/image_demo.py photo.jpg CONFIG CHECKPOINT
    python demo/image_demo.py FOLDER aios_r50 CHECKPOINT --recursive \
        --out-dir results --score-thr 0.5 --device cuda --batch-size 8
    python demo/image_demo.py 'shots/*.png' CHECKPOINT --max-persons 1
"""

from functools import partial

from aios.apis.cli import run_demo

main = partial(
    run_demo, __doc__, out_dir='outputs/image_demo', save_mesh='obj'
)

if __name__ == '__main__':
    main()
