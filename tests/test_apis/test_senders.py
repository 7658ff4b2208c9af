# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What receivers on the same machine get, by the real libraries."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aios.apis.senders import make_sender
from aios.results import FrameResult, complete_instances

K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


@pytest.fixture
def frame() -> FrameResult:
    """Person 4 faces the camera and lifts the left arm; person 9 is upside
    down as SMPL-X is at zero."""
    instances = complete_instances(
        person_id=np.array([9, 4]),
        transl=np.array([[1, 0, 5], [0.5, 0.2, 3]]),
        joints3d=np.full((2, 144, 3), (0.5, 0.2, 3)),
    )
    instances['global_orient'][1, 0] = np.pi
    instances['body_pose'][1, 47] = 0.5  # left shoulder, z
    return FrameResult('000007', 7, 0.28, K, (640, 480), instances)


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(('127.0.0.1', 0))
        receiver.settimeout(5)
        yield receiver


def received(receiver: socket.socket) -> list[tuple[str, list]]:
    """Messages of the next bundle."""
    from pythonosc.osc_bundle import OscBundle

    bundle = OscBundle(receiver.recv(1 << 16))
    return [(message.address, message.params) for message in bundle]


def address(receiver: socket.socket) -> str:
    return f'127.0.0.1:{receiver.getsockname()[1]}'


def test_osc(frame, layer, port) -> None:
    pytest.importorskip('pythonosc')
    with make_sender('osc', address(port), layer) as sender:
        sender.write(frame, None)
    ((head, values),) = received(port)
    assert (head, values) == ('/aios/frame', [7, pytest.approx(0.28), 2])
    for person in (9, 4):
        messages = received(port)
        assert len(messages) == 55
        assert {name for name, _ in messages} == {'/aios/joint'}
        joints = {values[1]: values for _, values in messages}
        assert {values[0] for values in joints.values()} == {person}
        np.testing.assert_allclose(joints['pelvis'][2:5], (0.5, 0.2, 3))
    turn = Rotation.from_quat(joints['left_shoulder'][5:])
    np.testing.assert_allclose(turn.as_rotvec(), (0, 0, 0.5), atol=1e-6)


def test_vmc(frame, layer, port) -> None:
    """Unity: left-handed, y up; the person looks along z, to the camera."""
    pytest.importorskip('pythonosc')
    with make_sender('vmc', address(port), layer) as sender:
        sender.write(frame, None)
        sender.write(frame.select([]), None)
    messages = received(port)
    assert messages[0] == ('/VMC/Ext/OK', [1])
    assert messages[1] == ('/VMC/Ext/T', [pytest.approx(0.28)])
    assert messages[2] == ('/VMC/Ext/Root/Pos', ['root', *6 * [0], 1])
    bones = {values[0]: values[1:] for _, values in messages[3:]}
    assert {name for name, _ in messages[3:]} == {'/VMC/Ext/Bone/Pos'}
    assert len(bones) == 55
    thumbs = {name for name in bones if 'LeftThumb' in name}
    assert thumbs == {'LeftThumbProximal', 'LeftThumbIntermediate',
                      'LeftThumbDistal'}  # fmt: skip
    np.testing.assert_allclose(bones['Hips'][:3], (-0.5, -0.2, -3), rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(bones['Hips'][3:]), (0, 0, 0, 1), atol=1e-6
    )
    # About z: mirrored along x, so the other way round.
    np.testing.assert_allclose(
        bones['LeftUpperArm'][3:],
        (0, 0, -np.sin(0.25), np.cos(0.25)),
        atol=1e-6,
    )
    assert received(port)[0] == ('/VMC/Ext/OK', [0])


def test_zmq(frame, layer) -> None:
    zmq = pytest.importorskip('zmq')
    with make_sender('zmq', '127.0.0.1:0', layer) as sender:
        receiver = zmq.Context.instance().socket(zmq.SUB)
        receiver.linger, receiver.rcvtimeo = 0, 50
        receiver.subscribe(b'')
        receiver.connect(sender.address)
        for _ in range(100):  # subscribing takes a moment
            sender.write(frame, None)
            try:
                document = json.loads(receiver.recv())
                break
            except zmq.Again:
                pass
        taken = sender.address.removeprefix('tcp://')
        with pytest.raises(OSError, match='--send zmq: 127'):
            make_sender('zmq', taken, layer)
        receiver.close()
    assert document['source_frame'] == 7
    assert [p['person_id'] for p in document['instances']] == [9, 4]
    np.testing.assert_allclose(document['K'], K)


def test_a_network_that_is_away(frame, layer, monkeypatch, caplog) -> None:
    """Frames are lost, but not the session."""
    client = pytest.importorskip('pythonosc.udp_client')
    sender = make_sender('osc', '127.0.0.1:9', layer)

    def fail(*_: object) -> None:
        raise OSError('Network is unreachable')

    monkeypatch.setattr(client.UDPClient, 'send', fail)
    sender.write(frame, None)
    assert [r.getMessage() for r in caplog.records] == [
        '--send: Network is unreachable'
    ]


def test_unknown_host(layer, monkeypatch) -> None:
    client = pytest.importorskip('pythonosc.udp_client')
    error = OSError('Name or service not known')
    monkeypatch.setattr(client, 'UDPClient', Mock(side_effect=error))
    with pytest.raises(OSError, match='--send osc: there:80: Name or'):
        make_sender('osc', 'there:80', layer)


def test_addresses(layer) -> None:
    for wrong in ('here', ':80', 'here:', 'here:99999', 'here:x'):
        with pytest.raises(ValueError, match='--send-to must be HOST:PORT'):
            make_sender('osc', wrong, layer)


@pytest.mark.parametrize('kind', ['osc', 'vmc', 'zmq'])
def test_missing_packages(kind, layer, monkeypatch) -> None:
    for module in ('pythonosc.udp_client', 'zmq'):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match='--send needs py.*: pip install'):
        make_sender(kind, None, layer)
