# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The head of AiOS."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.layers import MLP
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule, ModuleList, bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from aios.body_models import BodyModelBase, MissingBodyModelError
from aios.models.layers.branches import DetectionBranches, zero_init_last
from aios.models.layers.denoising import DenoisingQueries
from aios.models.layers.pose_prior import Sightings
from aios.models.layers.progressive_decoder import LayerState
from aios.models.layers.stages import read_stages
from aios.registry import MODELS
from aios.structures import PERSON_LABEL, SMPLX_137
from aios.utils.choices import check_choice
from aios.utils.tensors import at_least_float32

from .decoding import DecodingConfig, decode_instances
from .outputs import (
    EncoderOutputs,
    LayerOutputs,
    NetworkOutputs,
    SMPLXParams,
)
from .person_frame import PersonFrame
from .pose_lifter import PoseLifter
from .smplx_head import (
    SMPLX_FEATURES,
    LazySMPLXParams,
    SMPLXBranch,
    SMPLXInputs,
    has_smplx,
)


@MODELS.register_module()
class AiOSHead(BaseModule):
    """Predicts classes, boxes, keypoints and SMPL-X parameters of persons.

    Args:
        stages: Stages of the decoder; set by the detector.
        num_classes: Number of classes; class 1 is person, class 0 is never
            a target.
        embed_dims: Width of a token.
        body_model: Config of the body model.  Checkpoints do not contain it.
            If its files are missing, only bodies cannot be computed.
        hands_and_face_stages: Layouts of the stages whose bodies are posed
            with the predicted hands and expression.  The others have mean
            hands and a neutral face, as published.
        zero_rotation_init: See :class:`SMPLXBranch`.
        box_relative: See :class:`SMPLXBranch`.
        smplx_hidden_dims: Width of the hidden layers of
            :class:`SMPLXBranch`; default that of a token, as published.
        content_dropout: See :class:`SMPLXBranch`.
        pose_lifter: Arguments of :class:`PoseLifter`, whose poses are blended
            with those of the last layers, at inference, for persons whose
            keypoints a pose network detects; needs ``box_relative``.  Not in
            the paper.
        criterion: Config of the losses; only needed for training.
        train_cfg: Set by MMDetection's detectors; must be empty, because
            ``criterion`` has the options of training.
        test_cfg: See :class:`~aios.models.heads.DecodingConfig`.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If there is no class for persons, the last stage predicts
            no SMPL-X parameters, a stage is unknown, an option needs another
            one, ``train_cfg`` is not empty, or a value of ``test_cfg`` is
            out of range.
        TypeError: If ``test_cfg`` has an unknown key.
    """

    def __init__(
        self,
        stages: Sequence[dict[str, Any]],
        num_classes: int = 2,
        embed_dims: int = 256,
        body_model: dict[str, Any] | None = None,
        hands_and_face_stages: Sequence[str] = ('whole_body',),
        zero_rotation_init: bool = False,
        box_relative: bool = False,
        smplx_hidden_dims: int | None = None,
        content_dropout: float = 0.0,
        pose_lifter: dict[str, Any] | None = None,
        criterion: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_classes <= PERSON_LABEL:
            raise ValueError(
                f'num_classes must be at least {PERSON_LABEL + 1}, got '
                f'{num_classes}: class {PERSON_LABEL} is person, class 0 is '
                'never a target'
            )
        if train_cfg:
            raise ValueError(
                f'train_cfg must be empty, got {train_cfg}; assigner and '
                'losses are set in bbox_head.criterion'
            )
        for name, value in (
            ('pose_lifter', pose_lifter),
            ('content_dropout', content_dropout),
        ):
            if value and not box_relative:
                raise ValueError(f'{name} needs box_relative=True')
        self.stages = read_stages(stages)
        if not has_smplx(self.stages[-1].layout):
            raise ValueError(
                'the last stage must predict SMPL-X parameters, '
                f'{self.stages[-1].layout.name!r} does not'
            )
        self.num_classes = num_classes
        self.embed_dims = embed_dims
        for name in hands_and_face_stages:
            check_choice('hands_and_face_stages', name, tuple(SMPLX_FEATURES))
        self.hands_and_face_stages = tuple(hands_and_face_stages)
        self.test_cfg = test_cfg
        DecodingConfig.read(test_cfg)  # validates before training
        self.body_model_cfg = body_model or dict(type='SMPLXLayer')
        self.box_relative = box_relative
        self.criterion = None
        if criterion is not None:
            self.criterion = MODELS.build(criterion)
        self._init_layers(
            zero_rotation_init, smplx_hidden_dims, content_dropout
        )
        self.pose_lifter = None
        if pose_lifter is not None:
            self.pose_lifter = PoseLifter(**pose_lifter).requires_grad_(False)
        self.smplx_layer: BodyModelBase | None = None
        # Built before the module is wrapped (DDP, FSDP, EMA). Missing files
        # raise an error on the first use of the body model.
        with contextlib.suppress(MissingBodyModelError):
            self.build_body_model()

    def _init_layers(
        self,
        zero_rotation_init: bool,
        hidden_dims: int | None,
        content_dropout: float,
    ) -> None:
        layouts = [
            stage.layout
            for stage in self.stages
            for _ in range(stage.num_layers)
        ]
        self.encoder_cls = nn.Linear(self.embed_dims, self.num_classes)
        self.encoder_box = MLP(self.embed_dims, self.embed_dims, 4, 3)
        self.cls_branches = ModuleList(
            nn.Linear(self.embed_dims, self.num_classes) for _ in layouts
        )
        self.branches = DetectionBranches(self.stages, self.embed_dims)
        self.smplx = ModuleList(
            SMPLXBranch(
                layout,
                self.embed_dims,
                zero_rotation_init,
                self.box_relative,
                hidden_dims,
                content_dropout,
            )
            for layout in layouts
            if has_smplx(layout)
        )

    def init_weights(self) -> None:
        """Initialize low class scores, and boxes at their references."""
        super().init_weights()
        for classifier in (self.encoder_cls, *self.cls_branches):
            nn.init.constant_(classifier.bias, bias_init_with_prob(0.01))
        zero_init_last(self.encoder_box)

    def build_body_model(self, dtype: torch.dtype = torch.float32) -> None:
        """Build the body model.

        Args:
            dtype: Type of its buffers, float32 or float64.

        Raises:
            MissingBodyModelError: If its files are missing.
        """
        # Its buffers are not persistent, so state dicts do not change.
        layer = MODELS.build(dict(self.body_model_cfg, dtype=dtype))
        self.smplx_layer = layer.to(self.encoder_cls.weight.device)

    @property
    def body_model(self) -> BodyModelBase:
        """The body model, on the device of the head.

        Raises:
            MissingBodyModelError: If its files are missing.
        """
        if self.smplx_layer is None:
            self.build_body_model()
        assert self.smplx_layer is not None
        return self.smplx_layer

    def forward(
        self,
        states: Sequence[LayerState],
        encoder: EncoderOutputs,
        dn_queries: DenoisingQueries | None = None,
        image_sizes: Tensor | None = None,
    ) -> NetworkOutputs:
        """Predictions of all layers.

        Args:
            states: States of the decoder layers.
            encoder: Proposals of the encoder, part of the result.
            dn_queries: Denoising queries, part of the result.
            image_sizes: ``(B, 2)`` width and height in pixels, without
                padding; needed if ``box_relative``.
        """
        layers = [
            self.forward_layer(index, state, image_sizes)
            for index, state in enumerate(states)
        ]
        return NetworkOutputs(tuple(layers), encoder, dn_queries)

    def forward_layer(
        self,
        index: int,
        state: LayerState,
        image_sizes: Tensor | None = None,
    ) -> LayerOutputs:
        """Predictions of one decoder layer.

        Args:
            index: Index of the layer.
            state: Its state.
            image_sizes: See :meth:`forward`.
        """
        inputs = index, state.layout, state.hidden, state.references
        classifier = self.cls_branches[index]
        dn_logits = dn_boxes = None
        if state.dn_hidden is not None and state.dn_references is not None:
            dn_logits = classifier(state.dn_hidden)
            dn_boxes = self.branches.refine_bodies(
                index, state.dn_hidden, state.dn_references
            )
        boxes, points = self.branches.predict(*inputs)
        # Losses use the keypoints of the decoder.
        sightings = None if self.training else state.sightings
        if sightings is not None:
            own = points['body_keypoints']
            points = {**points, 'body_keypoints': sightings.over(own)}
        smplx: SMPLXParams | None = None
        if has_smplx(state.layout):
            smplx_inputs = self._smplx_inputs(
                index, state, boxes, points, image_sizes
            )
            if self.training:
                smplx = LazySMPLXParams(smplx_inputs)
            else:
                smplx = self._predict_smplx(smplx_inputs, points, sightings)
        logits = classifier(state.hidden[:, :, 0])
        if state.evidence is not None and not self.training:
            logits = logits + state.evidence[..., None]
        return LayerOutputs(
            layout=state.layout,
            logits=logits,
            boxes=boxes,
            points=points,
            smplx=smplx,
            dn_logits=dn_logits,
            dn_boxes=dn_boxes,
            keypoint_scores=None if sightings is None else sightings.heat,
        )

    def _smplx_inputs(
        self,
        index: int,
        state: LayerState,
        boxes: Mapping[str, Tensor],
        points: Mapping[str, Tensor],
        image_sizes: Tensor | None,
    ) -> SMPLXInputs:
        # Layers of the first stage have no SMPL-X branch.
        branch = self.smplx[index - len(self.cls_branches)]
        if not self.box_relative or image_sizes is None:
            return SMPLXInputs(branch, state.hidden)
        frame = PersonFrame.from_boxes(boxes['body_box'], image_sizes)
        places = frame.place(state.layout, boxes, points)
        return SMPLXInputs(branch, state.hidden, frame, places)

    def forward_last(
        self,
        states: Sequence[LayerState],
        image_sizes: Tensor | None = None,
        **_: Any,
    ) -> LayerOutputs:
        """Predictions of the last layer.

        Args:
            states: States of the decoder layers.
            image_sizes: See :meth:`forward`.
        """
        return self.forward_layer(len(states) - 1, states[-1], image_sizes)

    def _predict_smplx(
        self,
        inputs: SMPLXInputs,
        points: Mapping[str, Tensor],
        sightings: Sightings | None,
    ) -> SMPLXParams:
        """Parameters, with body poses blended with those of the lifter."""
        smplx, lifter, frame = inputs.predict(), self.pose_lifter, inputs.frame
        if lifter is None or sightings is None or frame is None:
            return smplx
        keypoints = points['body_keypoints'] * frame.image_size[:, None]
        pose = lifter.blend(
            smplx.body_pose,
            at_least_float32(keypoints),
            at_least_float32(sightings.heat),
        )
        return replace(smplx, body_pose=pose)

    def pose_joints(
        self, persons: Sequence[tuple[str, SMPLXParams]]
    ) -> list[Tensor]:
        """Joints of the persons of several layers, in one batch.

        Args:
            persons: For each layer the name of its layout and the parameters
                of ``N`` persons, leading dimension ``(N,)``.

        Returns:
            For each layer joints ``(N, 137, 3)`` of ``smplx_137`` in meters,
            before translation.
        """
        counts = [len(params.betas) for _, params in persons]
        if not sum(counts):
            return [
                params.betas.new_zeros(0, len(SMPLX_137), 3)
                for _, params in persons
            ]
        all_inputs = [
            params.body_model_inputs(
                hands_and_face=layout in self.hands_and_face_stages
            )
            for layout, params in persons
        ]
        shapes = {
            name: value.shape[1:]
            for inputs in all_inputs
            for name, value in inputs.items()
        }
        joined = {}
        for name, shape in shapes.items():
            # Zeros are the mean hand and the neutral face.
            pieces = [
                inputs[name]
                if name in inputs
                else inputs['betas'].new_zeros(count, *shape)
                for inputs, count in zip(all_inputs, counts, strict=True)
            ]
            joined[name] = torch.cat(pieces)
        with torch.autocast(joined['betas'].device.type, enabled=False):
            body = self.body_model(
                **joined, joint_set=SMPLX_137.name, return_vertices=False
            )
        return list(body.joints.split(counts))

    def loss(
        self,
        states: Sequence[LayerState],
        encoder: EncoderOutputs,
        batch_data_samples: Sequence[DetDataSample],
        dn_queries: DenoisingQueries | None = None,
        image_sizes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            states: States of the decoder layers.
            encoder: Proposals of the encoder.
            batch_data_samples: ``B`` samples with ``gt_instances``, see
                :data:`aios.structures.GT_FIELDS`.
            dn_queries: Denoising queries.
            image_sizes: See :meth:`forward`.

        Returns:
            Scalars, see :class:`aios.models.losses.WholeBodyCriterion`.

        Raises:
            RuntimeError: If the head has no criterion.
        """
        if self.criterion is None:
            raise RuntimeError(
                'training needs bbox_head.criterion, as in '
                'configs/_base_/losses/whole_body.py'
            )
        outputs = self(states, encoder, dn_queries, image_sizes)
        matches = self.criterion.match(outputs, batch_data_samples)
        joints = self.pose_joints(matches.persons_to_pose())
        return self.criterion(outputs, matches, joints)

    def predict(
        self,
        outputs: LayerOutputs,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
        decoding: DecodingConfig | None = None,
    ) -> list[InstanceData]:
        """Persons in each image, best first.

        Args:
            outputs: See :meth:`forward_last`.
            batch_data_samples: ``B`` samples with ``img_shape``, and
                ``scale_factor`` or ``ori_shape`` to rescale.
            rescale: Return pixels of the original image instead of the
                network input.
            decoding: Options; ``None`` for ``test_cfg``.

        Returns:
            For each image instances with

            - ``scores`` ``(n,)``, ``labels`` ``(n,)`` (1 = person);
            - ``bboxes``, ``lhand_bboxes``, ``rhand_bboxes``,
              ``face_bboxes`` ``(n, 4)`` xyxy in pixels;
            - ``keypoints`` ``(n, 17, 2)`` in COCO's order,
              ``lhand_keypoints``, ``rhand_keypoints``, ``face_keypoints``
              ``(n, 6, 2)`` in pixels;
            - ``smplx_global_orient`` ``(n, 3)``, ``smplx_body_pose``
              ``(n, 63)``, ``smplx_left_hand_pose`` and
              ``smplx_right_hand_pose`` ``(n, 45)`` relative to the mean
              hand, ``smplx_jaw_pose`` ``(n, 3)``, all axis-angle in
              radians; ``smplx_betas`` and ``smplx_expression`` ``(n, 10)``;
              ``smplx_transl`` ``(n, 3)`` meters;
            - ``joints3d`` ``(n, 144, 3)`` meters *without* the translation,
              ``joints2d`` ``(n, 144, 2)`` pixels, ``vertices``
              ``(n, 10475, 3)`` meters without the translation, unless
              ``test_cfg.with_vertices`` is off;
            - in the meta information ``cam_K`` ``(3, 3)``, the camera
              matrix in the same pixels.
        """
        config = decoding or DecodingConfig.read(self.test_cfg)
        with torch.autocast(outputs.logits.device.type, enabled=False):
            return decode_instances(
                outputs,
                [sample.metainfo for sample in batch_data_samples],
                self.body_model,
                config,
                rescale,
            )
