# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from aios.results import SequenceResult
from aios.structures import Mesh
from aios.synthetic import (
    BodyBank,
    SceneOptions,
    label_scene,
    labels_as_result,
    render_scene,
    sample_scene,
)
from aios.visualization import render_meshes


def test_persons_lie_over_their_image(free_body_dir, layer) -> None:
    rng = np.random.default_rng(5)
    bank = BodyBank(free_body_dir)
    options = SceneOptions(320, 240, persons=(2, 3), genders=('neutral',))
    scene = sample_scene(rng, bank, options)
    photograph = render_scene(rng, scene, bank)
    labels, _ = label_scene(scene, bank, photograph)
    camera = scene.view.camera
    frame = labels_as_result(labels, camera, layer, '000007', 7, 0.5)
    assert (frame.name, frame.source_frame, frame.size) == (
        '000007',
        7,
        (320, 240),
    )
    persons = SequenceResult.from_frames([frame], fps=14.0)
    assert len(persons) >= 1
    body = layer(**persons.smplx_parameters())
    drawn = render_meshes(
        [Mesh(vertices, layer.faces) for vertices in body.vertices],
        frame.K,
        240,
        320,
    ).ids
    for row, person in enumerate(frame.instances['person_id'].tolist()):
        mine, true = drawn == row, photograph.ids == person
        # Furniture and persons without a label may hide somebody.
        assert true[mine].mean() > 0.7
        assert mine[true].mean() > 0.95
    np.testing.assert_allclose(
        frame.instances['joints3d'], body.joints, atol=1e-5
    )


def test_no_person(layer) -> None:
    from aios.structures import Camera

    camera = Camera.from_focal(500, (64, 48))
    assert len(labels_as_result({}, camera, layer)) == 0


def test_other_genders_are_refused(layer) -> None:
    from aios.structures import Camera

    camera = Camera.from_focal(500, (64, 48))
    labels = {'meta/gender': np.array(['neutral', 'male'])}
    with pytest.raises(ValueError, match="'000000'.*got male"):
        labels_as_result(labels, camera, layer)
