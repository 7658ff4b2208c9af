# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The mean hand that hand poses are relative to."""

from __future__ import annotations

import numpy as np


def read_hand_mean(model_path: str | None) -> tuple[float, ...]:
    """Mean pose of both hands, ``(90,)``, from a body-model file."""
    from aios.body_models.files import find_body_model, read_model_file

    keys = ('hands_meanl', 'hands_meanr')
    path = find_body_model(model_path, 'neutral')
    arrays = read_model_file(path, keys)
    means = [np.asarray(arrays[key], float).ravel() for key in keys]
    return tuple(np.concatenate(means).tolist())


def hand_report(flat: bool | None, option: str | bool) -> str:
    """What is done to hand poses, in words.

    Args:
        flat: Whether they are absolute; None if the file does not say.
        option: ``flat_hand_mean`` of the dataset.
    """
    source = 'the file says' if option == 'auto' else 'as configured'
    if flat is None:
        return 'taken as relative to the mean hand (the file does not say)'
    if flat:
        return f'absolute ({source}): mean hand subtracted'
    return f'relative to the mean hand ({source})'
