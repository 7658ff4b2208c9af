#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find the people of pictures, and write what they look like.

For each picture ``NAME``, in the output folder:

    NAME.jpg            the picture with boxes, skeletons and bodies
    NAME.npz            parameters, joints, boxes and scores, see
                        AiOSHead.predict
    NAME_person0.obj    a mesh per person, best score first, in metres and
                        camera axes (x right, y down, z forward)

Examples:
    python demo/image_demo.py photo.jpg CONFIG CHECKPOINT
    python demo/image_demo.py FOLDER CONFIG CHECKPOINT --out-dir results \
        --score-thr 0.5 --device cuda
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from aios.engine.hooks.visualization_hook import draw_sample
from aios.evaluation.samples import predictions_of
from aios.registry import DATASETS, VISUALIZERS
from aios.utils import register_all_modules
from aios.utils.profiling import build_detector
from aios.utils.safe_io import save_npz
from aios.visualization import Mesh, write_image, write_obj


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'source', help='picture, folder of pictures, or pattern in quotes'
    )
    parser.add_argument('config', help='config the model was trained with')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument(
        '--out-dir',
        default='outputs/image_demo',
        help='folder for the results (default: %(default)s)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='leave out people with a lower score (default: %(default)s)',
    )
    parser.add_argument(
        '--device', default='cpu', help='cpu, cuda, ... (default: cpu)'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace earlier results'
    )
    return parser


def build_dataset(config: Config, source: str) -> Any:
    """Pictures without labels, prepared like those of the test.

    Raises:
        FileNotFoundError: If there is no picture.
    """
    pipeline = [
        step
        for step in config.test_dataloader.dataset.pipeline
        if step['type'] != 'LoadHumanAnnotations'
    ]
    return DATASETS.build(
        dict(type='MediaDataset', source=source, pipeline=pipeline)
    )


def find_people(
    model: Any, dataset: Any
) -> Iterator[tuple[Path, DetDataSample]]:
    """Predictions of one picture after the other."""
    for index in tqdm(range(len(dataset)), unit='picture'):
        with torch.no_grad():
            (sample,) = model.test_step(pseudo_collate([dataset[index]]))
        yield Path(sample.img_path), sample.cpu()


class ResultWriter:
    """Writes the files of a picture.

    Args:
        config: Its ``visualizer`` draws.
        faces: ``(F, 3)`` triangles of the bodies.
        out_dir: Folder of the results.
        score_thr: People with a lower score are left out.
        overwrite: Replace earlier results.
    """

    def __init__(
        self,
        config: Config,
        faces: np.ndarray,
        out_dir: str,
        score_thr: float,
        overwrite: bool,
    ) -> None:
        drawing = dict(config.visualizer, vis_backends=None)
        drawing['body_model'] = dict(config.model.bbox_head.body_model)
        self.visualizer = VISUALIZERS.build(drawing)
        self.faces = faces
        self.folder = Path(out_dir)
        self.score_thr = score_thr
        self.overwrite = overwrite

    def __call__(self, path: Path, sample: DetDataSample) -> int:
        """Write; returns the number of people."""
        # As the network saw it: without the orientation of EXIF.
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imread(str(path), flags)
        if image is None:
            raise ValueError(f'{path} is not a picture that OpenCV can read')
        drawn = draw_sample(
            self.visualizer, image[..., ::-1], sample, self.score_thr
        )
        base = self.folder / path.stem
        write_image(drawn, f'{base}.jpg', overwrite=self.overwrite)
        people = predictions_of(sample.to_dict(), self.score_thr)
        bodies = people.pop('vertices') + people['smplx_transl'][:, None]
        save_npz(f'{base}.npz', people, overwrite=self.overwrite)
        for index, vertices in enumerate(bodies):
            write_obj(
                Mesh(vertices, self.faces),
                f'{base}_person{index}.obj',
                overwrite=self.overwrite,
            )
        return len(bodies)


def main(argv: list[str] | None = None) -> int:
    """Predict; returns the number of people."""
    args = build_parser().parse_args(argv)
    register_all_modules()
    config = Config.fromfile(args.config)
    config.model.setdefault('test_cfg', {})['with_vertices'] = True
    try:
        dataset = build_dataset(config, args.source)
    except FileNotFoundError as error:
        sys.exit(f'error: {error}')
    model: Any = build_detector(config, args.checkpoint, args.device)
    faces = model.bbox_head.body_model.faces.cpu().numpy()
    write = ResultWriter(
        config, faces, args.out_dir, args.score_thr, args.overwrite
    )
    count = 0
    for path, sample in find_people(model, dataset):
        count += write(path, sample)
    print(f'{count} people in {len(dataset)} pictures: {args.out_dir}')
    return count


if __name__ == '__main__':
    main()
