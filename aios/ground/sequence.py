# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ground the results of a video (``docs/en/ground.md``).

Legend: ``N`` persons of all frames, ``T`` frames of a track.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aios.body_models import BodyModel, BodyPoser
from aios.results import SequenceResult

from .floor import Floor
from .grounding import (
    FloorMissedError,
    GroundError,
    GroundOptions,
    check_floor,
    find_floor,
    lock_tracks,
)
from .heights import set_heights
from .legs import BIG_TOES, HEELS, Legs
from .report import measure
from .sizes import set_sizes
from .solve import Track

_MIN_FRAMES = 5  # of a track
_TELE = 3.5  # focal length per longer side; longer ones are virtual cameras
_UNEVEN, _UNEVEN_SHARE = 1.4, 0.2  # factor of the median step; part of steps
_SAME_CAMERA = 1e-3  # tolerated change of K, relative to the focal length
_MIN_DEPTH = 0.1  # meters; directions of nearer points are unstable
_PARAMETERS = ('joints3d', 'global_orient', 'body_pose')


def ground_sequence(
    sequence: SequenceResult,
    body_model: dict[str, Any] | BodyModel | None = None,
    options: GroundOptions | None = None,
    heights: Mapping[int, float] | None = None,
) -> tuple[SequenceResult, dict[str, Any]]:
    """Find the floor of a fixed camera, and ground persons on it.

    Sizes and depths of persons are scaled so that all stand on one floor; each
    person gets one shape in all frames.  Translations are corrected, mostly
    along the viewing ray, and feet in contact are locked; hips, knees and
    ankles follow.  The rest of the pose does not change.  Persons with fewer
    than five consecutive frames are not changed.

    Args:
        sequence: With ids of a tracker and intrinsics of the real camera.
        body_model: Body model of the results. It gives the height of joints
            above the sole, and poses the bodies. Without it joints of the
            legs are moved as rigid bones, sizes are kept, and meshes are left
            out. Bodies of :data:`aios.results.MESH_BODIES` need none: they
            are moved as a whole, and feet may slide a little.
        options: Thresholds.
        heights: Known heights in meters by ``person_id``; they set the scale.
            Without any, most persons are assumed to be adults.

    Returns:
        The persons, with ``floor``, and a report for JSON;
        :func:`aios.ground.measure` lists the measures.

    Raises:
        GroundError: If no floor can be found; the message says why.
        ValueError: If a height is not possible, or heights are given without
            a body model.
    """
    options = options or GroundOptions()
    _check(sequence, options.max_gap)
    sequence, heights = replace(sequence, floor=None), heights or {}
    try:
        return _grounded(sequence, body_model, options, heights)
    except FloorMissedError:
        return _grounded(sequence, body_model, options.hasty(), heights)


def _grounded(
    sequence: SequenceResult,
    body_model: dict[str, Any] | BodyModel | None,
    options: GroundOptions,
    heights: Mapping[int, float],
) -> tuple[SequenceResult, dict[str, Any]]:
    rigid = not sequence.has_parameters
    with_vertices = sequence.vertices is not None
    poser = None
    if body_model is not None and not rigid:
        poser = BodyPoser(body_model)
    elif heights:
        raise ValueError(
            'heights can only be set with the body model of the results'
        )
    sizes: dict[int, tuple[float, float]] = {}
    left: dict[int, float] = {}
    if poser is not None:
        sequence, sizes, left = _sized(sequence, poser, options, heights)
    tracks = _tracks(sequence, poser, options)
    for track in tracks:
        track.size = track.believed = left.get(track.person, 1.0)
    beliefs = replace(options.beliefs, size=0.0)
    floor = find_floor(tracks, replace(options, beliefs=beliefs))
    off_floor = check_floor(tracks, floor)
    if rigid:
        after = [track.legs.shifted(track.shift) for track in tracks]
    else:
        after = lock_tracks(tracks, floor)
    report = _report(tracks, after, floor)
    report['heights_m'] = {str(person): pair for person, pair in sizes.items()}
    report['clipped_sizes'] = {
        str(person): round(factor, 3)
        for person, factor in left.items()
        if factor != 1
    }
    report['off_floor_m'] = {
        str(person): round(height, 3) for person, height in off_floor.items()
    }
    moved = _moved(sequence, tracks, after, floor, poser, with_vertices)
    return moved, report


def _check(sequence: SequenceResult, max_gap: float) -> None:
    """Reject sequences without a static floor, or with too few frames."""
    if not len(sequence):
        raise GroundError('the results contain no persons')
    if not (np.diff(sequence.timestamps) > 0).all():
        raise GroundError(
            'the frames have no time stamps; grounding needs a video'
        )
    steps = np.diff(sequence.timestamps)
    median = float(np.median(steps)) if len(steps) else 0.0
    uneven = np.maximum(steps / median, median / steps) > _UNEVEN
    if uneven.sum() > _UNEVEN_SHARE * len(steps):
        raise GroundError(
            'the frame rate must be constant, but frames are '
            f'{steps.min():.3g} to {steps.max():.3g} seconds apart'
        )
    if median > max_gap:
        raise GroundError(
            f'frames are {median:.2g} seconds apart, at most {max_gap:g} '
            'seconds are allowed; use more frames of the video'
        )
    # K fitted to 2-D points differs in the last digits.
    changes = np.abs(sequence.K - sequence.K[0]) / sequence.K[0, 0, 0]
    for name, other in (
        ('K', (changes > _SAME_CAMERA).any((1, 2))),
        (
            'image_sizes',
            (sequence.image_sizes != sequence.image_sizes[0]).any(1),
        ),
    ):
        if other.any():
            raise GroundError(
                f'{name} of frame {other.argmax()} differs from that of '
                'frame 0; the camera must not zoom'
            )
    zoom = sequence.K[0, 0, 0] / sequence.image_sizes[0].max()
    assert sequence.camera_origin is not None  # set by SequenceResult
    origin = sequence.camera_origin[0]
    if origin == 'virtual' or (origin == 'unknown' and zoom > _TELE):
        raise GroundError(
            f'the focal length is {zoom:.1f} times the image size, as of the '
            "network's virtual camera, whose depths are not metric; run the "
            'demo with the real one (--focal-length, --fov or --intrinsics)'
        )


def _sized(
    sequence: SequenceResult,
    poser: BodyPoser,
    options: GroundOptions,
    heights: Mapping[int, float],
) -> tuple[SequenceResult, dict[int, tuple[float, float]], dict[int, float]]:
    """Set known heights and fit the others; see :func:`.set_sizes`."""
    sequence = set_heights(sequence, dict(heights.items()), poser)
    if not options.beliefs.size:
        return sequence, {}, {}
    tracks = _tracks(sequence, poser, options, set(heights))
    find_floor(tracks, options)
    return set_sizes(sequence, tracks, poser)


def _tracks(
    sequence: SequenceResult,
    poser: BodyPoser | None,
    options: GroundOptions,
    sized: Collection[int] = (),
) -> list[Track]:
    """Tracks of persons; sizes of ids in ``sized`` are known."""
    tracks = list(_pieces(sequence, poser, options.max_gap, sized))
    if not tracks:
        raise GroundError(
            'no person is in front of the camera for '
            f'{_MIN_FRAMES} frames in a row'
        )
    return tracks


def _pieces(
    sequence: SequenceResult,
    poser: BodyPoser | None,
    max_gap: float,
    sized: Collection[int],
) -> Iterator[Track]:
    soles = np.array([HEELS, BIG_TOES]).T.ravel()
    feet = sequence.joints2d[:, soles]
    size = sequence.image_sizes[sequence.frame_index][:, None]
    seen = ((feet >= 0) & (feet < size)).all(-1)
    # Behind the camera pixels are mirrored, and may be inside the image.
    seen &= sequence.joints3d[:, soles, 2] > _MIN_DEPTH
    ahead = sequence.joints3d[:, 0, 2] > _MIN_DEPTH
    for person in sequence.person_ids.tolist():
        rows = np.flatnonzero((sequence.person_id == person) & ahead)
        if not len(rows):
            continue
        clearance = _clearance(sequence, rows, poser)
        times = sequence.timestamps[sequence.frame_index[rows]]
        cuts = np.flatnonzero(np.diff(times) > max_gap) + 1
        for part in np.split(rows, cuts):
            if len(part) < _MIN_FRAMES:
                continue
            fields = {
                name: getattr(sequence, name)[part] for name in _PARAMETERS
            }
            yield Track(
                person,
                part,
                sequence.timestamps[sequence.frame_index[part]],
                Legs.of(fields, clearance),
                seen[part],
                person in sized,
            )


def _clearance(
    sequence: SequenceResult, rows: np.ndarray, poser: BodyPoser | None
) -> np.ndarray:
    """``(2,)`` height in meters of heel and toe joints in the rest pose."""
    if poser is None:
        return np.zeros(2)
    body = poser({'betas': sequence.betas[rows].mean(0, keepdims=True)})
    floor = body.vertices[0, :, 1].min()
    legs = Legs.of(
        {
            'joints3d': body.joints,
            'global_orient': np.zeros((1, 3)),
            'body_pose': np.zeros((1, 63)),
        }
    )
    return np.maximum(legs.soles[0, :, :, 1].mean(0) - floor, 0)


def _report(
    tracks: Sequence[Track], after: Sequence[Legs], floor: Floor
) -> dict[str, Any]:
    contacts = [track.contacts for track in tracks]
    down = np.degrees(np.arcsin(np.clip(floor.up[2], -1, 1)))
    return {
        'floor': [*floor.up.tolist(), floor.offset],
        'camera_height_m': round(floor.offset, 3),
        'camera_pitch_deg': round(float(down), 2),
        'tracks': len(tracks),
        'contacts': sum(len(track.stands()) for track in tracks),
        'contact_frames': int(sum(stands.sum() for stands in contacts)),
        'before': measure([track.legs for track in tracks], contacts, floor),
        'after': measure(after, contacts, floor),
    }


def _moved(
    sequence: SequenceResult,
    tracks: Sequence[Track],
    after: Sequence[Legs],
    floor: Floor,
    poser: BodyPoser | None,
    with_vertices: bool,
) -> SequenceResult:
    """The persons with new legs and translations."""
    changed = {
        name: getattr(sequence, name).copy()
        for name in ('transl', 'body_pose', 'joints3d')
    }
    for track, legs in zip(tracks, after, strict=True):
        changed['transl'][track.rows] += legs.pelvis - track.legs.pelvis
        pose = sequence.body_pose[track.rows]
        changed['body_pose'][track.rows] = legs.body_pose(pose)
        changed['joints3d'][track.rows] = legs.joints
    plane = np.append(floor.up, floor.offset)
    vertices = None
    if not sequence.has_parameters and sequence.vertices is not None:
        shift = changed['joints3d'][:, :1] - sequence.joints3d[:, :1]
        vertices = sequence.vertices + shift
    bare = replace(sequence, **changed, vertices=vertices, floor=plane)
    frames = []
    for frame in bare.frames():
        if poser is None:
            joints = frame.instances['joints3d']
            frame = frame.with_fields(joints2d=frame.camera.project(joints))
        else:
            frame = frame.posed(poser, with_vertices)
        frames.append(frame)
    return SequenceResult.from_frames(frames, **bare.metadata)
