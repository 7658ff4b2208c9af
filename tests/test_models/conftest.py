# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Models for the network tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from oracle_body import write_oracle_body
from oracle_weights import official_checkpoint
from torch import Tensor

from aios.models import AiOS
from aios.models.checkpoints import convert
from aios.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(scope='session')
def oracle_body_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the body model used for the original network."""
    return write_oracle_body(tmp_path_factory.mktemp('oracle_body'))


@pytest.fixture(scope='session')
def reference_weights() -> dict[str, Tensor]:
    """The weights used for the original network, with our names."""
    official = {
        name: torch.from_numpy(value)
        for name, value in official_checkpoint().items()
    }
    return convert(official).state_dict


@pytest.fixture(scope='session')
def make_oracle_model(
    oracle_body_dir: Path, reference_weights: dict[str, Tensor]
) -> Callable[..., AiOS]:
    """Function that builds AiOS-R50 as the original network was run.

    ``small`` is the oracle's set for quick tests, with fewer queries.
    """

    def make(
        small: bool = False,
        denoising: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> AiOS:
        config = Config.fromfile(CONFIGS / '_base_/models/aios_r50.py').model
        config.backbone.init_cfg = None
        config.bbox_head.body_model.model_path = str(oracle_body_dir)
        if small:
            config.num_queries = 200
            config.decoder.num_persons = 20
            config.dn_cfg.num_queries = 20
            config.test_cfg.max_per_img = 10
        weights = reference_weights
        if not denoising:
            config.dn_cfg = None
            weights = {
                name: value
                for name, value in weights.items()
                if not name.startswith('dn_query_generator')
            }
        model = MODELS.build(config)
        # Strict: the converted checkpoint has every tensor, and no other.
        model.load_state_dict(_with_counters(model, weights), strict=True)
        model.bbox_head.build_body_model(dtype)  # exactly, not rounded before
        return model.to(dtype)

    return make


def _with_counters(
    model: AiOS, weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Add the unused batch counters of mmdet's norm layers."""
    counters = {
        name: value
        for name, value in model.state_dict().items()
        if name.endswith('num_batches_tracked')
    }
    return weights | counters


@pytest.fixture
def make_tiny_model() -> Callable[..., AiOS]:
    """Function that builds and initializes the tiny configuration.

    Keyword arguments change the config of the model. Results of a fresh model
    would all be equal, so its heads get random weights.
    """

    def make(**changes: Any) -> AiOS:
        config = Config.fromfile(CONFIGS / 'aios/aios_tiny.py')
        config.merge_from_dict({'model': changes})
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        with _quiet():
            model.init_weights()
        for name, parameter in model.named_parameters():
            if name.startswith('bbox_head') and name.endswith('weight'):
                torch.nn.init.xavier_normal_(parameter)
        return model

    return make


@pytest.fixture
def make_shallow_model(
    make_tiny_model: Callable[..., AiOS],
) -> Callable[..., AiOS]:
    """The tiny model with one layer of each kind, for slow tensors."""
    layouts = 'body_localization', 'body_refinement', 'whole_body'
    return partial(
        make_tiny_model,
        encoder=dict(num_layers=1),
        decoder=dict(stages=[dict(layout=x, num_layers=1) for x in layouts]),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence MMEngine's report of every initialized parameter."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
