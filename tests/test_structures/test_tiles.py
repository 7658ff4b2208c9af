# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from aios.structures.decoding import DecodingConfig
from aios.structures.tiles import enlarged_resize, tile_spans, tiled_test_cfg


@pytest.mark.parametrize('side', [1, 2, 7, 96, 640, 1471])
@pytest.mark.parametrize('count', [1, 2, 3, 5])
def test_tiles_cover_a_side(side: int, count: int):
    spans = tile_spans(side, count)
    (length,) = {end - begin for begin, end in spans}
    assert len(spans) == count
    assert spans[0][0] == 0
    assert spans[-1][1] == side
    for (_, end), (begin, _) in zip(spans, spans[1:], strict=False):
        # A person of a quarter of a tile is whole in one of them.
        assert end - begin >= length / 4 - 1


def test_the_first_level_is_tiled():
    levels = [dict(max_size=256), dict(scale=0.5, min_size=64)]
    given = dict(pyramid=levels, max_per_img=20, nms_iou_thr=0.6)
    tiled = DecodingConfig(**tiled_test_cfg(given, 2))
    assert tiled.max_per_img == 80
    assert tiled.nms_iou_thr == 0.6
    assert [(x.scale, x.tiles) for x in tiled.pyramid] == [
        *((1.0, 2), (0.5, 1), (0.25, 1)),
    ]
    assert [x.max_size for x in tiled.pyramid[:2]] == [256, 256]
    assert tiled.pyramid[2].min_size == 64
    assert DecodingConfig(**tiled_test_cfg(None, 3)).max_per_img == 450
    assert tiled_test_cfg(given, 1) == given
    with pytest.raises(ValueError, match='positive, got 0'):
        tiled_test_cfg(None, 0)


def test_images_are_enlarged():
    step = dict(type='WholeBodyResize', enlarged_scale=(640, 480))
    assert enlarged_resize(step, 2) == step | dict(
        scale=(2666, 1600), enlarged_scale=(1280, 960)
    )
