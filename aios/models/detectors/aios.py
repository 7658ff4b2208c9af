# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The AiOS detector.

`AiOS: All-in-One-Stage Expressive Human Pose and Shape Estimation
<https://arxiv.org/abs/2403.17934>`_ (CVPR 2024).

Legend: ``B`` images, ``L`` feature levels, ``S`` positions of all levels,
``Q`` queries, ``C`` channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.detectors import DetectionTransformer
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from aios.models.checkpoints import check_state_dict
from aios.models.heads.decoding import DecodingConfig
from aios.models.heads.outputs import EncoderOutputs, LayerOutputs
from aios.models.layers.decoder_layer import Memory
from aios.models.layers.denoising import DenoisingQueries
from aios.models.layers.grids import level_box_logits
from aios.models.layers.pose_prior import PoseMaps
from aios.models.layers.progressive_decoder import LayerState
from aios.registry import MODELS
from aios.utils.tensors import tensor_like

from . import model_checks
from .image_pyramid import padding_mask, predict_pyramid, sizes_of


@MODELS.register_module()
class AiOS(DetectionTransformer):
    """Detects persons with their SMPL-X bodies, in one stage.

    A DETR in the four steps of MMDetection, which also provides backbone,
    neck, positional encoding and encoder.  Candidates are the best positions
    of the encoded image; the decoder expands each from a box to a whole body.

    Args:
        backbone: Config of the backbone.
        neck: Config of the neck, or of several in a row, with outputs of the
            encoder's width.
        encoder: Config of the encoder.
        decoder: Config of the decoder.
        bbox_head: Config of the head.
        positional_encoding: Arguments of
            :class:`mmdet.models.layers.SinePositionalEncoding`.
        num_queries: Number of candidates the encoder proposes.
        num_feature_levels: Number of outputs of the neck.
        dn_cfg: Config of the denoising queries; ``None`` trains without.
        train_cfg: Must be empty; see ``criterion`` of the head.
        test_cfg: See :class:`aios.models.heads.DecodingConfig`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.
    """

    embed_dims: int
    positional_encoding: Any
    encoder: Any
    decoder: Any

    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any] | list[dict[str, Any]],
        encoder: dict[str, Any],
        decoder: dict[str, Any],
        bbox_head: dict[str, Any],
        positional_encoding: dict[str, Any],
        num_queries: int = 900,
        num_feature_levels: int = 4,
        dn_cfg: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        model_checks.check_positive(num_queries=num_queries)
        self.num_feature_levels = num_feature_levels
        # MMDetection builds the head in its own scope.
        bbox_head = dict(
            bbox_head, stages=decoder['stages'], _scope_=MODELS.scope
        )
        if isinstance(data_preprocessor, Mapping):
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(
            backbone=backbone,
            neck=neck,
            encoder=encoder,
            decoder=decoder,
            bbox_head=bbox_head,
            positional_encoding=positional_encoding,
            num_queries=num_queries,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.neck_cfg = neck
        self.dn_query_generator = None
        if dn_cfg is not None:
            self.dn_query_generator = MODELS.build(
                dict(
                    dn_cfg,
                    embed_dims=self.embed_dims,
                    num_classes=self.bbox_head.num_classes,
                )
            )

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(
            **self.positional_encoding
        )
        self.encoder = MODELS.build(self.encoder)
        self.decoder = MODELS.build(self.decoder)
        self.embed_dims = self.encoder.embed_dims
        model_checks.check_widths(
            encoder=self.embed_dims,
            decoder=self.decoder.embed_dims,
            bbox_head=self.bbox_head.embed_dims,
            positional_encoding=2 * self.positional_encoding.num_feats,
        )
        levels = self.num_feature_levels
        model_checks.check_levels(levels, self.encoder, self.decoder)
        self.level_embed = nn.Parameter(torch.empty(levels, self.embed_dims))
        self.memory_trans_fc = nn.Linear(self.embed_dims, self.embed_dims)
        self.memory_trans_norm = nn.LayerNorm(self.embed_dims)
        nn.init.normal_(self.level_embed)

    def init_weights(self) -> None:
        """Initialize as published; head and backbone initialize themselves."""
        for module in self.encoder, self.decoder:
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.xavier_uniform_(self.memory_trans_fc.weight)
        nn.init.normal_(self.level_embed)
        # Last, because init_cfg may be a checkpoint of all weights.
        super().init_weights()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Convert official weights and reject weights that do not fit."""
        check_state_dict(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps of the neck, with a pose prior followed by the pose map.

        Args:
            batch_inputs: ``(B, 3, height, width)``.
        """
        return self.apply_neck(self.backbone(batch_inputs))

    def apply_neck(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Second step of :meth:`extract_feat`, after the backbone.

        Args:
            maps: ``(B, channels, height, width)`` maps of the backbone.
        """
        count = len(maps) - (self.decoder.pose_prior is not None)
        model_checks.check_channels(self.neck_cfg, maps[:count], maps[count:])
        return *self.neck(tuple(maps[:count])), *maps[count:]

    def test_step(
        self,
        data: dict[str, Any],
        decoding: DecodingConfig | None = None,
    ) -> list[DetDataSample]:
        """Predict persons of a batch.

        Args:
            data: ``inputs`` and ``data_samples`` of the collated batch.
            decoding: See :meth:`predict`.

        Returns:
            The samples with ``pred_instances``.
        """
        return self.predict(
            **self.data_preprocessor(data, False), decoding=decoding
        )

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[DetDataSample],
        rescale: bool = True,
        decoding: DecodingConfig | None = None,
    ) -> list[DetDataSample]:
        """Predict persons of preprocessed images.

        Args:
            inputs: ``(B, 3, height, width)``.
            data_samples: ``B`` samples, which get ``pred_instances``.
            rescale: See :meth:`aios.models.heads.AiOSHead.predict`.
            decoding: Options; ``None`` for ``test_cfg``.
        """
        test_cfg = decoding or DecodingConfig.read(self.bbox_head.test_cfg)

        def forward(
            images: Tensor, samples: Sequence[DetDataSample]
        ) -> LayerOutputs:
            head_inputs = self.forward_transformer(
                self.extract_feat(images), samples, decoding
            )
            return self.bbox_head.forward_last(**head_inputs)

        outputs = predict_pyramid(
            inputs, data_samples, test_cfg.pyramid, forward
        )
        results = self.bbox_head.predict(
            outputs, data_samples, rescale, decoding
        )
        return self.add_pred_to_datasample(data_samples, results)

    def forward_transformer(
        self,
        img_feats: Sequence[Tensor],
        batch_data_samples: Sequence[DetDataSample] | None = None,
        decoding: DecodingConfig | None = None,
    ) -> dict[str, Any]:
        """The four steps, of which the third uses the ground truth.

        Args:
            img_feats: ``L`` feature maps ``(B, C, height, width)``.
            batch_data_samples: ``B`` samples; ``None`` for no padding and no
                ground truth.
            decoding: See :meth:`predict`.

        Returns:
            Arguments of the head: ``states``, ``encoder``, ``dn_queries``,
            ``image_sizes``.
        """
        encoder_inputs, decoder_inputs = self.pre_transformer(
            img_feats, batch_data_samples
        )
        memory = self.forward_encoder(**encoder_inputs)
        queries, head_inputs = self.pre_decoder(
            **memory, batch_data_samples=batch_data_samples
        )
        states = self.forward_decoder(
            **decoder_inputs, **queries, decoding=decoding
        )
        if self.bbox_head.box_relative and batch_data_samples is not None:
            head_inputs['image_sizes'] = sizes_of(
                batch_data_samples, memory['memory']
            )
        return head_inputs | states

    def pre_transformer(
        self,
        img_feats: Sequence[Tensor],
        batch_data_samples: Sequence[DetDataSample] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Flatten feature maps, compute masks, encode positions.

        Args:
            img_feats: Result of :meth:`extract_feat`.
            batch_data_samples: ``B`` samples with ``img_shape`` and
                ``batch_input_shape``.

        Returns:
            Arguments of :meth:`forward_encoder` and of
            :meth:`forward_decoder`.

        Raises:
            ValueError: If number or channels of the levels are wrong.
        """
        num_levels = len(img_feats) - (self.decoder.pose_prior is not None)
        model_checks.check_neck(
            img_feats[:num_levels], self.num_feature_levels, self.embed_dims
        )
        padding = padding_mask(img_feats[0], batch_data_samples)
        return self.flatten_features(img_feats, padding)

    def flatten_features(
        self, img_feats: Sequence[Tensor], image_padding: Tensor | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Second step of :meth:`pre_transformer`, with known padding.

        Args:
            img_feats: Result of :meth:`extract_feat`.
            image_padding: ``(B, 1, H, W)``, 1 on the padding of images and
                0 elsewhere; ``None`` for no padding.

        Returns:
            See :meth:`pre_transformer`.
        """
        pose_maps = img_feats[self.num_feature_levels :]
        img_feats = img_feats[: self.num_feature_levels]
        masks: list[Tensor] | list[None] = [None] * len(img_feats)
        if image_padding is not None:
            masks = [
                F.interpolate(image_padding, size=x.shape[-2:])[:, 0].bool()
                for x in img_feats
            ]
        positions = [
            self._positions(feature, mask) + embedding[:, None, None]
            for feature, mask, embedding in zip(
                img_feats, masks, self.level_embed, strict=True
            )
        ]
        geometry: dict[str, Any] = dict(
            # Python integers avoid synchronization.
            spatial_shapes=[tuple(x.shape[-2:]) for x in img_feats],
            valid_ratios=self._valid_ratios(img_feats, masks),
        )
        padding = None
        if masks[0] is not None:
            padding = torch.cat([mask.flatten(1) for mask in masks], dim=1)
        encoder_inputs = dict(
            feat=_flatten_levels(img_feats),
            feat_mask=padding,
            feat_pos=_flatten_levels(positions),
            **geometry,
        )
        decoder_inputs = dict(memory_mask=padding, **geometry)
        for pose_map in pose_maps:
            decoder_inputs['pose_maps'] = PoseMaps.read(
                pose_map, geometry['valid_ratios'][:, 0]
            )
        return encoder_inputs, decoder_inputs

    def _positions(self, feature: Tensor, mask: Tensor | None) -> Tensor:
        """Encoded positions, ``(B, C, h, w)`` or ``(1, C, h, w)``."""
        # Without padding they are the same for all images.
        feature = feature[:1] if mask is None else feature
        return self.positional_encoding(mask, input=feature)

    def _valid_ratios(
        self, img_feats: Sequence[Tensor], masks: Sequence[Tensor | None]
    ) -> Tensor:
        """Unpadded share of width and height, ``(B, L, 2)``."""
        dtype = torch.promote_types(img_feats[0].dtype, torch.float32)
        ratios = []
        for feature, mask in zip(img_feats, masks, strict=True):
            if mask is None:
                ratio = feature.new_ones((len(feature), 2), dtype=dtype)
            else:
                valid = (~mask[:, 0]).sum(1), (~mask[:, :, 0]).sum(1)
                extent = tensor_like(mask.shape[:0:-1], feature, dtype)
                ratio = torch.stack(valid, dim=-1) / extent
            ratios.append(ratio)
        return torch.stack(ratios, dim=1)

    def forward_encoder(
        self,
        feat: Tensor,
        feat_mask: Tensor | None,
        feat_pos: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        valid_ratios: Tensor,
    ) -> dict[str, Any]:
        """Encode the features.

        Args:
            feat: ``(B, S, C)``.
            feat_mask: ``(B, S)`` bool, true on padding.
            feat_pos: ``(B, S, C)``.
            spatial_shapes: ``(height, width)`` of the levels.
            valid_ratios: ``(B, L, 2)``.

        Returns:
            Arguments of :meth:`pre_decoder`.
        """
        memory = self.encoder(
            query=feat,
            query_pos=feat_pos,
            key_padding_mask=feat_mask,
            spatial_shapes=spatial_shapes,
            valid_ratios=valid_ratios,
        )
        return dict(
            memory=memory,
            memory_mask=feat_mask,
            spatial_shapes=spatial_shapes,
            valid_ratios=valid_ratios,
        )

    def pre_decoder(
        self,
        memory: Tensor,
        memory_mask: Tensor | None,
        spatial_shapes: Sequence[tuple[int, int]],
        valid_ratios: Tensor,
        batch_data_samples: Sequence[DetDataSample] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Select candidates, and in training generate denoising queries.

        The content of a candidate is the encoded image at its position, not
        a learned query as in DINO.

        Args:
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)`` bool, true on padding.
            spatial_shapes: ``(height, width)`` of the levels.
            valid_ratios: ``(B, L, 2)``.
            batch_data_samples: ``B`` samples, with ground truth in training.

        Returns:
            Arguments of :meth:`forward_decoder` and of the head.
        """
        proposals, is_empty = level_box_logits(
            spatial_shapes, valid_ratios, memory_mask
        )
        output_memory = self.memory_trans_fc(memory.masked_fill(is_empty, 0))
        output_memory = self.memory_trans_norm(output_memory)
        all_logits = self.bbox_head.encoder_cls(output_memory)
        # Small images have fewer positions than there are queries.
        count = min(self.num_queries, output_memory.shape[1])
        index = all_logits.max(dim=-1).values.topk(count, dim=1).indices

        def take(x: Tensor) -> Tensor:
            return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))

        content = take(output_memory)
        boxes = self.bbox_head.encoder_box(content) + take(proposals)
        encoder = EncoderOutputs(take(all_logits), boxes.sigmoid())
        dn_queries = self._denoising_queries(batch_data_samples)
        decoder_inputs = dict(
            query=content.detach(),
            memory=memory,
            reference_boxes=encoder.boxes.detach(),
            dn_queries=dn_queries,
        )
        return decoder_inputs, dict(encoder=encoder, dn_queries=dn_queries)

    def _denoising_queries(
        self, batch_data_samples: Sequence[DetDataSample] | None
    ) -> DenoisingQueries | None:
        if (
            not self.training
            or self.dn_query_generator is None
            or batch_data_samples is None
            or any('gt_instances' not in x for x in batch_data_samples)
        ):
            return None
        return self.dn_query_generator(batch_data_samples)

    def forward_decoder(
        self,
        query: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        reference_boxes: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        valid_ratios: Tensor,
        dn_queries: DenoisingQueries | None = None,
        pose_maps: PoseMaps | None = None,
        decoding: DecodingConfig | None = None,
    ) -> dict[str, list[LayerState]]:
        """Decode the candidates.

        Args:
            query: ``(B, Q, C)`` content of the candidates.
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)`` bool, true on padding.
            reference_boxes: ``(B, Q, 4)`` cxcywh in [0, 1].
            spatial_shapes: ``(height, width)`` of the levels.
            valid_ratios: ``(B, L, 2)``.
            dn_queries: Denoising queries.
            pose_maps: Input of the decoder's ``pose_prior``.
            decoding: See :meth:`predict`.

        Returns:
            ``states`` after each layer.
        """
        max_candidates = None
        if not self.training:
            test_cfg = vars(decoding) if decoding else self.bbox_head.test_cfg
            max_candidates = (test_cfg or {}).get('max_candidates')
        states = self.decoder(
            query=query,
            reference_boxes=reference_boxes,
            memory=Memory(memory, memory_mask, spatial_shapes, valid_ratios),
            cls_branches=self.bbox_head.cls_branches,
            branches=self.bbox_head.branches,
            dn_queries=dn_queries,
            max_candidates=max_candidates,
            pose_maps=pose_maps,
        )
        return dict(states=states)


def _flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """``L`` maps ``(B, C, height, width)`` to ``(B, S, C)``."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
