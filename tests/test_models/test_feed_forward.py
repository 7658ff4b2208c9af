# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference in pieces equals MMCV's feed-forward network."""

from __future__ import annotations

import torch
from mmcv.cnn.bricks.transformer import FFN

from aios.models.layers.feed_forward import FeedForward


def test_equals_mmcv(monkeypatch):
    monkeypatch.setattr('aios.models.layers.feed_forward._ROWS', 512)
    torch.manual_seed(0)
    ours = FeedForward(embed_dims=16, feedforward_channels=32).eval()
    theirs = FFN(embed_dims=16, feedforward_channels=32).eval()
    theirs.load_state_dict(ours.state_dict())
    # more rows than one piece, and not a multiple of it
    x, identity = torch.randn(2, 3, 700, 16).unbind()
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours(x, identity), theirs(x, identity))
    torch.testing.assert_close(ours(x), theirs(x))
