# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""All persons of a sequence as one animated, skinned GLB file.

``docs/en/export.md`` describes the nodes and their animation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from aios.results import SequenceResult
from aios.utils.choices import check_choice
from aios.utils.safe_io import refuse_existing

from .armatures import ARMATURE_OPTION, bone_names
from .correctives import CorrectiveBasis
from .exporter import FPS_OPTION, Exporter
from .expressions import EXPRESSION_NAMES, EXPRESSION_OPTION
from .glb import GLBBuilder
from .gltf_meshes import MeshScene
from .gltf_scene import GLTFScene
from .gltf_skinned import SkinnedScene
from .rig import Rig

if TYPE_CHECKING:
    from aios.body_models import BodyModel

CORRECTIVES = ('exact', 'none')
"""Allowed values of the argument of :func:`write_glb`."""


@dataclass(frozen=True)
class GLBSummary:
    """Summary of a written file.

    Args:
        num_bytes: Size of the file.
        num_correctives: Corrective shapes of each person, by id.
        max_error: Largest distance of a vertex from the body model in any
            frame, meters.
    """

    num_bytes: int
    num_correctives: dict[int, int]
    max_error: float


def write_glb(
    sequence: SequenceResult,
    layer: BodyModel | None,
    path: str | os.PathLike,
    *,
    correctives: str = 'exact',
    tolerance: float = 1e-3,
    fps: float | None = None,
    armature: str = 'smplx',
    expressions: str = 'smplx',
    overwrite: bool = False,
    progress: bool = False,
) -> GLBSummary:
    """Write persons as an animation for Blender and browsers.

    Args:
        sequence: The results; may be empty.
        layer: Their body model, as
            :class:`~aios.body_models.SMPLXLayer`; not used for bodies of
            :data:`aios.results.MESH_BODIES`, whose meshes are written.
        path: The ``.glb`` file. Missing folders are made.
        correctives: ``'exact'`` adds blend shapes that correct the skinning
            of glTF. ``'none'`` gives a smaller file with errors of up to
            centimeters near bent joints.
        tolerance: Largest error of ``'exact'``, meters. Smaller values need
            more shapes: noisy motion takes three times the size for 0.05 mm.
        fps: Frames per second if the sequence has none; default 1.
        armature: Bone names, a key of :data:`aios.export.ARMATURES`.
        expressions: ``'arkit'`` uses ARKit's names for expressions of the
            free body where they exist, see ``docs/en/export.md``.
        overwrite: Replace an existing file.
        progress: Show a progress bar.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If an argument is not allowed, or the file would exceed
            the 4 GiB of the format.
    """
    check_choice('correctives', correctives, CORRECTIVES)
    if not 1e-6 <= tolerance < 1:
        raise ValueError(
            f'tolerance must be at least 1e-6 m, less than 1, got {tolerance}'
        )
    names = bone_names(armature)
    check_choice('expressions', expressions, EXPRESSION_NAMES)
    arkit = expressions == 'arkit'
    if arkit and sequence.body_model not in ('', 'free'):
        raise ValueError(
            "expressions='arkit' needs the free body; these results are of "
            f'{sequence.body_model!r}'
        )
    refuse_existing(Path(path), overwrite)
    times = sequence.times(fps)
    with GLBBuilder() as builder:
        scene: GLTFScene
        if layer is not None and sequence.has_parameters:
            scene = SkinnedScene(
                builder, sequence, Rig.of(layer), times, names, arkit
            )
        else:
            scene = MeshScene(builder, sequence, times)
        bar = tqdm(total=len(sequence), unit='body', disable=not progress)
        with bar:
            for person_id in sequence.person_ids:
                basis = None
                if correctives == 'exact':
                    basis = CorrectiveBasis(tolerance)
                scene.add_person(int(person_id), basis, bar)
        num_bytes = builder.write(path, scene.document(), overwrite)
    return GLBSummary(num_bytes, scene.num_correctives, scene.max_error)


class GLBExporter(Exporter):
    """Animations."""

    name, suffix = 'glb', '.glb'
    about = 'one animated, skinned file of all persons (Blender, browsers)'
    product = 'persons.glb'
    flag, flag_help = '--save-glb', 'persons.glb, for Blender'
    options = (
        ARMATURE_OPTION
        | EXPRESSION_OPTION
        | FPS_OPTION
        | {
            '--correctives': dict(
                choices=CORRECTIVES,
                default='exact',
                help='pose correctives as blend shapes, which linear blend '
                'skinning lacks',
            )
        }
    )

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> str:
        summary = write_glb(sequence, layer, path, **options)
        return (
            f'{summary.num_bytes / 2**20:.1f} MB; vertices at most '
            f'{1000 * summary.max_error:.2f} mm from the body model'
        )
