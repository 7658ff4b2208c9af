#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Detect persons in a video, frame by frame.

In the output folder:

    params.npz      persons of all frames, see aios.results.SequenceResult
    vis.mp4         the video with boxes, skeletons and bodies

Memory use does not depend on the length of the video. After an interruption
the same command with --resume continues.

Examples:
    python demo/video_demo.py dance.mp4 CONFIG CHECKPOINT --track --smooth
    python demo/video_demo.py dance.mp4 aios_r50 CHECKPOINT --out-dir dance \
        --nms-iou 0.7 --start 100 --end 400 --save-glb
"""

from functools import partial

from aios.apis.cli import run_demo

main = partial(run_demo, __doc__, out_dir='outputs/video_demo')

if __name__ == '__main__':
    main()
