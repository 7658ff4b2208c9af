# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is opened in a ``with`` block is closed at its end."""

from __future__ import annotations

import pytest

from aios.utils.closing import Closing


class Door(Closing):
    is_open = True

    def close(self) -> None:
        self.is_open = False


def test_closes_at_the_end():
    with Door() as door:
        assert door.is_open
    assert not door.is_open


def test_closes_after_an_error_and_lets_it_through():
    door = Door()
    with pytest.raises(KeyError), door:
        raise KeyError('inside')
    assert not door.is_open


def test_close_must_be_written():
    class Wall(Closing):
        pass

    with pytest.raises(TypeError, match='close'):
        Wall()
