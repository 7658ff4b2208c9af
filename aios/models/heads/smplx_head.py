# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X parameters from the tokens of a person (AiOS paper, Sec. 3.3).

Each decoder layer with keypoints predicts absolute parameters, without mean
parameters and without iteration.

Legend: ``B`` images, ``P`` persons, ``T`` tokens of a person, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from mmdet.models.layers import MLP
from mmengine.model import BaseModule, constant_init
from torch import Tensor

from aios.models.layers.token_parts import select_parts
from aios.structures import TokenLayout, rotation_6d_to_matrix
from aios.utils.tensors import at_least_float32

from .outputs import SMPLXParams
from .person_frame import BOX_FEATURES, PersonFrame

_BODY = (
    'body_box',
    'body_keypoints',
    'left_hand_box',
    'right_hand_box',
    'face_box',
)
SMPLX_FEATURES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        'body_refinement': {
            'body': _BODY,
            'left_hand': ('left_hand_box',),
            'right_hand': ('right_hand_box',),
            'face': ('face_box',),
        },
        'whole_body': {
            'body': _BODY,
            'left_hand': (
                'body_box',
                'left_hand_box',
                'left_hand_keypoints',
                'right_hand_box',
            ),
            'right_hand': (
                'body_box',
                'left_hand_box',
                'right_hand_box',
                'right_hand_keypoints',
            ),
            'face': ('body_box', 'face_box', 'face_keypoints'),
        },
    }
)
"""For each stage, the parts whose tokens are the input of a prediction.

NOTE: Tokens have the order of the layout, and both hands share an MLP,
although their orders differ (the box of the *other* hand is last for the left
hand, second for the right), as in the training of the published weights.
"""

IDENTITY_6D = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
# Rotation by pi about x, because in the body model y points up and z forward,
# and in the camera y down and z away: an upright person facing the camera.
UPRIGHT_6D = (1.0, 0.0, 0.0, -1.0, 0.0, 0.0)
_OUTPUTS = {  # name: (features, number of outputs, is a rotation)
    'pose': ('body', 22 * 6, True),
    'betas': ('body', 10, False),
    'camera': ('body', 3, False),
    'hand_pose': ('left_hand', 15 * 6, True),
    'expression': ('face', 10, False),
    'jaw': ('face', 6, True),
}


def has_smplx(layout: TokenLayout) -> bool:
    """Whether SMPL-X parameters are predicted in a stage."""
    return layout.name in SMPLX_FEATURES


class SMPLXBranch(BaseModule):
    """MLPs that predict the SMPL-X parameters of one decoder layer.

    Args:
        layout: Order of a person's tokens; ``body_refinement`` or
            ``whole_body``.
        embed_dims: Width of a token.
        zero_rotation_init: Initialize 6-D rotations to zero, as published,
            which gives the zero matrix with a gradient of 1e12.  By default
            all persons start in the rest pose, upright and facing the camera.
        hidden_dims: Width of the MLPs' hidden layers; default that of a
            token, as published.
        box_relative: Also use the positions of tokens in the body box and of
            the box in the image as input, and predict the camera relative to
            the box, see :class:`PersonFrame`.  Not in the paper.
        content_dropout: In training, the probability that the contents of a
            person are zeroed, so that predictions also work from positions,
            which depend less on the kind of image.  Not in the paper; needs
            ``box_relative``.
    """

    def __init__(
        self,
        layout: TokenLayout,
        embed_dims: int,
        zero_rotation_init: bool = False,
        box_relative: bool = False,
        hidden_dims: int | None = None,
        content_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.features = SMPLX_FEATURES[layout.name]
        self.zero_rotation_init = zero_rotation_init
        self.box_relative = box_relative
        self.content_dropout = content_dropout
        for name, (feature, num_outputs, _) in _OUTPUTS.items():
            num_tokens = len(layout.indices(*self.features[feature]))
            num_inputs = num_tokens * embed_dims
            if box_relative:
                num_inputs += 2 * num_tokens + BOX_FEATURES
            mlp = MLP(num_inputs, hidden_dims or embed_dims, num_outputs, 3)
            self.add_module(name, mlp)

    def init_weights(self) -> None:
        """Initialize to the rest pose for all inputs."""
        super().init_weights()
        for name, (_, num_outputs, is_rotation) in _OUTPUTS.items():
            last = self.get_submodule(name).layers[-1]
            constant_init(last, 0)
            if is_rotation and not self.zero_rotation_init:
                rotations = torch.tensor(IDENTITY_6D * (num_outputs // 6))
                if name == 'pose':
                    rotations[:6] = torch.tensor(UPRIGHT_6D)
                last.bias.data.copy_(rotations)

    def forward(
        self,
        hidden: Tensor,
        frame: PersonFrame | None = None,
        places: Tensor | None = None,
    ) -> SMPLXParams:
        """Predict parameters.

        Args:
            hidden: ``(B, P, T, C)`` normalized content.
            frame: The body boxes; needed if ``box_relative``.
            places: ``(B, P, T, 2)``, see :meth:`PersonFrame.place`; needed if
                ``box_relative``.

        Returns:
            Parameters with leading dimensions ``(B, P)``.
        """
        if self.training and self.content_dropout:
            kept = torch.rand_like(hidden[..., :1, :1]) >= self.content_dropout
            hidden = hidden * kept
        feature = {
            name: self._feature(parts, hidden, frame, places)
            for name, parts in self.features.items()
        }
        camera = at_least_float32(self.camera(feature['body']))
        if frame is not None and self.box_relative:
            camera = frame.camera(camera)
        return SMPLXParams(
            body_pose=_to_matrices(self.pose(feature['body'])),
            left_hand_pose=_to_matrices(self.hand_pose(feature['left_hand'])),
            right_hand_pose=_to_matrices(
                self.hand_pose(feature['right_hand'])
            ),
            jaw_pose=_to_matrices(self.jaw(feature['face'])),
            betas=at_least_float32(self.betas(feature['body'])),
            expression=at_least_float32(self.expression(feature['face'])),
            camera=camera,
        )

    def _feature(
        self,
        parts: tuple[str, ...],
        hidden: Tensor,
        frame: PersonFrame | None,
        places: Tensor | None,
    ) -> Tensor:
        """Input of an MLP from some parts, ``(B, P, ...)``."""
        content = select_parts(hidden, self.layout, parts).flatten(2)
        if not self.box_relative:
            return content
        if frame is None or places is None:
            raise ValueError(
                'box_relative needs the sizes of the images: pass data '
                'samples with img_shape, or image_sizes'
            )
        offsets = select_parts(places, self.layout, parts).flatten(2)
        geometry = torch.cat((offsets, frame.describe()), dim=-1)
        return torch.cat((content, geometry.to(content)), dim=-1)


@dataclass(frozen=True)
class SMPLXInputs:
    """A branch and its inputs, see :meth:`SMPLXBranch.forward`.

    Args:
        branch: The branch.
        hidden: ``(B, P, T, C)``.
        frame: The body boxes.
        places: ``(B, P, T, 2)``.
    """

    branch: SMPLXBranch
    hidden: Tensor
    frame: PersonFrame | None = None
    places: Tensor | None = None

    def predict(self) -> SMPLXParams:
        """Parameters of all persons, ``(B, P, ...)``."""
        return self.branch(self.hidden, self.frame, self.places)

    def take(self, take: Callable[[Tensor], Tensor]) -> SMPLXInputs:
        """Inputs of some persons, ``B = 1`` and ``P = M``.

        Args:
            take: Function from ``(B, P, ...)`` to ``(M, ...)``.
        """
        return SMPLXInputs(
            self.branch,
            take(self.hidden)[None],
            None if self.frame is None else self.frame.take(take),
            None if self.places is None else take(self.places)[None],
        )


class LazySMPLXParams(SMPLXParams):
    """Parameters that are predicted on access.

    :meth:`take` predicts the selected persons only: in training only matched
    persons have a loss.

    Args:
        inputs: The branch and its inputs.
    """

    _inputs: SMPLXInputs

    def __init__(self, inputs: SMPLXInputs) -> None:
        object.__setattr__(self, '_inputs', inputs)

    def __getattr__(self, name: str) -> Tensor:
        if name not in SMPLXParams.__dataclass_fields__:
            raise AttributeError(name)
        vars(self).update(vars(self._inputs.predict()))
        return vars(self)[name]

    def take(self, take: Callable[[Tensor], Tensor]) -> SMPLXParams:
        """Parameters ``(M, ...)`` of some persons."""
        return self._inputs.take(take).predict().map(lambda x: x[0])


def _to_matrices(rotations_6d: Tensor) -> Tensor:
    """``(..., 6 K)`` to ``(..., K, 3, 3)``."""
    rotations_6d = at_least_float32(rotations_6d).unflatten(-1, (-1, 6))
    return rotation_6d_to_matrix(rotations_6d)
