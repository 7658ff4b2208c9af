# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies and parameters for the tests of the layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aios.body_models import load_body_model_arrays
from aios.structures import POSE_JOINTS
from aios.utils.safe_io import save_npz

NUM_VERTICES, NUM_FACES = 10475, 400


@pytest.fixture(scope='session')
def random_body(
    free_body_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A random body model with the free body's tree, in the layout of v1.0.

    Nothing is symmetric, sparse or small, so that no error is hidden."""
    rng = np.random.default_rng(0)
    arrays = load_body_model_arrays(
        free_body_dir / 'smplx' / 'SMPLX_NEUTRAL.npz'
    )

    def noise(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def simplex(*shape: int) -> np.ndarray:
        weights = rng.random(shape, dtype=np.float32) + 0.1
        return weights / weights.sum(-1, keepdims=True)

    count = NUM_VERTICES, 3
    regressor = np.zeros((55, NUM_VERTICES), np.float32)
    columns = rng.permutation(NUM_VERTICES)[: 55 * 16].reshape(55, 16)
    np.put_along_axis(regressor, columns, simplex(55, 16), axis=1)
    arrays.update(
        v_template=noise(*count, scale=0.3),
        f=rng.integers(0, NUM_VERTICES, (NUM_FACES, 3)).astype(np.uint32),
        shapedirs=noise(*count, 20, scale=0.01),
        posedirs=noise(*count, 486, scale=0.001),
        J_regressor=regressor,
        weights=simplex(NUM_VERTICES, 55),
        hands_meanl=noise(45, scale=0.3),
        hands_meanr=noise(45, scale=0.3),
        # read by the smplx package even where hands are not in PCA space
        hands_componentsl=np.eye(45),
        hands_componentsr=np.eye(45),
        lmk_faces_idx=rng.integers(0, NUM_FACES, 51),
        lmk_bary_coords=simplex(51, 3),
        dynamic_lmk_faces_idx=rng.integers(0, NUM_FACES, (79, 17)),
        dynamic_lmk_bary_coords=simplex(79, 17, 3),
    )
    folder = tmp_path_factory.mktemp('random_body')
    save_npz(folder / 'SMPLX_NEUTRAL.npz', arrays, compress=False)
    return folder


@pytest.fixture(scope='session')
def make_params() -> Callable[..., dict[str, Tensor]]:
    """Function that draws strong random poses and shapes."""

    def make(
        batch_size: int, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def randn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=dtype)

        params = {
            name: 0.4 * randn(batch_size, num_joints, 3)
            for name, num_joints in POSE_JOINTS.items()
        }
        for name, size in (('betas', 10), ('expression', 10), ('transl', 3)):
            params[name] = randn(batch_size, size)
        return params

    return make
