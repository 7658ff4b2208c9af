# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Transforms of the data pipeline, registered in ``TRANSFORMS``."""

from .color import ChannelGain
from .formatting import FilterWholeBody, PackWholeBodyInputs
from .geometry import (
    PersonGroupCrop,
    WholeBodyFlip,
    WholeBodyRandomResize,
    WholeBodyResize,
)
from .loading import LoadHumanAnnotations, LoadImage

__all__ = [
    'ChannelGain',
    'FilterWholeBody',
    'LoadHumanAnnotations',
    'LoadImage',
    'PackWholeBodyInputs',
    'PersonGroupCrop',
    'WholeBodyFlip',
    'WholeBodyRandomResize',
    'WholeBodyResize',
]
