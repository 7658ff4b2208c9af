# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmarks that are measured on meshes: only their rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aios.registry import METRICS

from .mesh_metric import SMPLXMeshMetric

__all__ = [
    'AGORAMeshMetric',
    'ARCTICMetric',
    'EHFMetric',
    'EgoBodyMetric',
    'RICHMetric',
    'UBodyMetric',
]


@METRICS.register_module()
class EHFMetric(SMPLXMeshMetric):
    """EHF: one person per picture, against registered meshes.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        **kwargs: As there.  ``gt_source='vertices'`` refuses annotation
            files without meshes, ``'parameters'`` measures against bodies of
            the fitted parameters, which differ by some millimetres.
    """

    default_prefix = 'EHF'

    def __init__(self, match: str = 'one_per_image', **kwargs: Any) -> None:
        super().__init__(match=match, **kwargs)


@METRICS.register_module()
class UBodyMetric(SMPLXMeshMetric):
    """UBody: only what is inside the picture counts.

    A vertex or joint counts if the annotation's own camera projects its true
    place into the original picture; all of them align.  A hand nobody could
    see is no hand of 0 mm, it is left out.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        weighted_match: As there.
        in_image: As there.
        **kwargs: As there.
    """

    default_prefix = 'UBody'

    def __init__(
        self,
        match: str = 'one_per_image',
        weighted_match: bool = True,
        in_image: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            match=match,
            weighted_match=weighted_match,
            in_image=in_image,
            **kwargs,
        )


@METRICS.register_module()
class EgoBodyMetric(SMPLXMeshMetric):
    """EgoBody (EgoSet): one person per picture, bodies of the own gender.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        **kwargs: As there.
    """

    default_prefix = 'EgoBody'

    def __init__(self, match: str = 'one_per_image', **kwargs: Any) -> None:
        super().__init__(match=match, **kwargs)


@METRICS.register_module()
class ARCTICMetric(SMPLXMeshMetric):
    """ARCTIC: one person per picture, bodies of the own gender.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        per_camera: Also report each camera, ``camera-1/MPVPE-all`` ...
        **kwargs: As there.
    """

    default_prefix = 'ARCTIC'

    def __init__(
        self,
        match: str = 'one_per_image',
        per_camera: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(match=match, **kwargs)
        self.per_camera = per_camera

    def group_of(self, sample: Mapping[str, Any]) -> str | None:
        """The camera, which is the folder: ``s05/box_use_01/3/00100.jpg``."""
        if not self.per_camera:
            return None
        return f'camera-{Path(sample["img_path"]).parent.name}'


@METRICS.register_module()
class RICHMetric(SMPLXMeshMetric):
    """RICH: one or two persons per image, bodies of the own gender.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        **kwargs: As there.
    """

    default_prefix = 'RICH'

    def __init__(self, match: str = 'hungarian', **kwargs: Any) -> None:
        super().__init__(match=match, **kwargs)


@METRICS.register_module()
class AGORAMeshMetric(SMPLXMeshMetric):
    """AGORA, validation: many persons per picture, gendered bodies.

    Everybody is matched; numbers of ablations in the AiOS paper are of the
    best prediction of each picture (``match='one_per_image'``).  Numbers of
    AGORA's own protocol come from ``AGORAMetric``.

    Args:
        match: See :class:`SMPLXMeshMetric`.
        **kwargs: As there.
    """

    default_prefix = 'AGORA-mesh'

    def __init__(self, match: str = 'hungarian', **kwargs: Any) -> None:
        super().__init__(match=match, **kwargs)
