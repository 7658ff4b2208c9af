# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Send persons to other programs, frame by frame (docs/en/live.md).

Legend: ``J`` = 55 joints.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.body_models import BodyModel, BodyPoser
from aios.export import ARMATURES
from aios.results import FrameResult
from aios.results.plain import frame_as_dict
from aios.results.poses import PoseRotations
from aios.structures import HALF_TURN, get_joint_set
from aios.utils.optional import import_optional

from .writers import FrameWriter

_LOGGER = logging.getLogger(__name__)
_JOINTS = get_joint_set('smplx_55').names
_HALF_TURN = Rotation.from_quat(HALF_TURN)
_TO_UNITY = np.array([-1.0, 1, 1])  # mirrored, for left-handed axes
_THUMB = {
    'ThumbProximal': 'ThumbIntermediate',
    'ThumbMetacarpal': 'ThumbProximal',
}


class _Bundles(FrameWriter):
    """Send bundles of Open Sound Control, one per frame and person."""

    per_frame = False

    def __init__(self, host: str, port: int, body_model: BodyModel) -> None:
        client = import_optional(
            'pythonosc.udp_client', 'python-osc', '--send'
        )
        self._client = client.UDPClient(host, port)
        self._is_lost = False
        self._poses = PoseRotations(BodyPoser(body_model).layer())

    def _send(self, messages: Iterable[tuple[str, list[Any]]]) -> None:
        from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
        from pythonosc.osc_message_builder import OscMessageBuilder

        bundle = OscBundleBuilder(IMMEDIATELY)
        for address, values in messages:
            message = OscMessageBuilder(address)
            for value in values:
                kind = 'f' if isinstance(value, float) else None
                message.add_arg(value, kind)
            bundle.add_content(message.build())
        try:
            self._client.send(bundle.build())
            self._is_lost = False
        except OSError as error:  # a network that is away for a while
            if not self._is_lost:
                _LOGGER.warning('--send: %s', error)
            self._is_lost = True

    def _rotations(self, frame: FrameResult, row: int) -> Rotation:
        """``J`` rotations relative to the parents, hands included."""
        person = {n: value[row] for n, value in frame.instances.items()}
        return self._poses.rotations(person)


class OSCSender(_Bundles):
    """Send joints and rotations of all persons, in the axes of the results.

    Args:
        host: Receiver.
        port: UDP port.
        body_model: Poses the bodies of the results.

    Raises:
        ValueError: If python-osc is not installed.
    """

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        head: list[Any] = [frame.source_frame, frame.timestamp, len(frame)]
        self._send([('/aios/frame', head)])
        for row in range(len(frame)):
            self._send(self._person(frame, row))

    def _person(
        self, frame: FrameResult, row: int
    ) -> Iterator[tuple[str, list[Any]]]:
        person = int(frame.instances['person_id'][row])
        joints = frame.instances['joints3d'][row].tolist()
        rotations = self._rotations(frame, row).as_quat().tolist()
        for name, xyz, xyzw in zip(_JOINTS, joints, rotations, strict=False):
            yield '/aios/joint', [person, name, *xyz, *xyzw]


class VMCSender(_Bundles):
    """Send one person as an avatar by the Virtual Motion Capture protocol.

    Bones are Unity's, local rotations relative to a T-pose, axes left-handed
    with y up.  Of several persons the one with the lowest id is sent.

    Args:
        host: Receiver.
        port: UDP port.
        body_model: Poses the bodies of the results.

    Raises:
        ValueError: If python-osc is not installed.
    """

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        loaded = ('/VMC/Ext/OK', [int(len(frame) > 0)])
        time = ('/VMC/Ext/T', [float(frame.timestamp)])
        if not len(frame):
            self._send([loaded, time])
            return
        row = int(frame.instances['person_id'].argmin())
        self._send([loaded, time, *self._avatar(frame, row)])

    def _avatar(
        self, frame: FrameResult, row: int
    ) -> Iterator[tuple[str, list[Any]]]:
        zeros = [0.0, 0.0, 0.0]
        yield '/VMC/Ext/Root/Pos', ['root', *zeros, 0.0, 0.0, 0.0, 1.0]
        rotations = self._rotations(frame, row)
        hips = _HALF_TURN.apply(frame.instances['joints3d'][row, 0])
        for joint, name in enumerate(_JOINTS):
            rotation = rotations[joint] if joint else _HALF_TURN * rotations[0]
            x, y, z, w = rotation.as_quat().tolist()
            xyz = zeros if joint else (_TO_UNITY * hips).tolist()
            yield '/VMC/Ext/Bone/Pos', [_unity(name), *xyz, x, -y, -z, w]


def _unity(joint: str) -> str:
    """Name of a bone in Unity's ``HumanBodyBones``."""
    name = ARMATURES['vrm'][joint]
    name = name[0].upper() + name[1:]
    for vrm, unity in _THUMB.items():
        if name.endswith(vrm):
            return name.removesuffix(vrm) + unity
    return name


class ZMQSender(FrameWriter):
    """Publish frames as JSON by ZeroMQ.

    Args:
        host: Address of this machine, ``*`` for all.
        port: TCP port; 0 for any that is free.
        body_model: Not needed.

    Raises:
        OSError: If the port is taken.
        ValueError: If pyzmq is not installed.
    """

    per_frame = False

    def __init__(
        self, host: str, port: int, body_model: BodyModel | None = None
    ) -> None:
        zmq = import_optional('zmq', 'pyzmq', '--send')
        self._socket = zmq.Context.instance().socket(zmq.PUB)
        self._socket.linger = 0
        try:
            self._socket.bind(f'tcp://{host}:{port or "*"}')
        except zmq.ZMQError as error:
            raise OSError(str(error)) from error
        self.address = self._socket.last_endpoint.decode()

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        bare = frame.with_fields(vertices=None)
        self._socket.send(json.dumps(frame_as_dict(bare)).encode())

    def __exit__(self, *error: object) -> None:
        self._socket.close()


SENDERS: dict[str, tuple[Any, int]] = {
    'osc': (OSCSender, 9000),
    'vmc': (VMCSender, 39539),
    'zmq': (ZMQSender, 5555),
}
"""Classes and default ports by name."""


def make_sender(
    kind: str, address: str | None, body_model: BodyModel
) -> FrameWriter:
    """Make a sender.

    Args:
        kind: A key of :data:`SENDERS`.
        address: ``HOST:PORT``; default: this machine and the default port.
        body_model: Poses the bodies of the results.

    Raises:
        OSError: If the address cannot be used.
        ValueError: If the address is invalid, or a package is missing.
    """
    sender, default_port = SENDERS[kind]
    address = address or f'127.0.0.1:{default_port}'
    host, colon, port = address.rpartition(':')
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise ValueError(f'--send-to must be HOST:PORT, got {address!r}')
    try:
        return sender(host, int(port), body_model)
    except OSError as error:
        raise OSError(f'--send {kind}: {address}: {error}') from error
