# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Work in threads: order, errors, bounds, and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from aios.apis import threads
from aios.apis.threads import BackgroundConsumer, prefetch


def test_order():
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_an_error_comes_where_the_item_would():
    def items() -> Iterator[int]:
        yield 1
        raise ValueError('second')

    stream = prefetch(items(), depth=4)
    assert next(stream) == 1
    with pytest.raises(ValueError, match='second'):
        next(stream)


def test_bounded_and_ends_early():
    made, ended = [], threading.Event()

    def items() -> Iterator[int]:
        try:
            for i in range(1000):
                made.append(i)
                yield i
        finally:
            ended.set()

    stream = prefetch(items(), depth=2)
    assert next(stream) == 0
    stream.close()
    assert len(made) <= 5
    del stream
    assert threading.active_count() < 10


def test_a_blocked_camera_does_not_block_the_end(monkeypatch):
    monkeypatch.setattr(threads, '_FAREWELL', 0.05)
    go = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        go.wait(60)

    stream = prefetch(items(), depth=1, latest=True)
    assert next(stream) == 0
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 30
    go.set()


def test_latest_throws_away_what_waits():
    go, first, rest = (threading.Event() for _ in range(3))

    def items() -> Iterator[int]:
        yield 0
        go.wait(5)
        yield from range(1, 50)
        first.set()
        rest.wait(5)

    stream = prefetch(items(), depth=1, latest=True)
    assert next(stream) == 0
    go.set()
    assert first.wait(5)
    assert next(stream) == 49
    rest.set()
    assert list(stream) == []


def test_the_end_throws_away_nothing():
    go, ended = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        go.wait(5)
        yield 1
        ended.set()

    stream = prefetch(items(), depth=1, latest=True)
    assert next(stream) == 0
    go.set()
    assert ended.wait(5)
    time.sleep(0.05)  # the thread has nothing left but to say so
    assert list(stream) == [1]


def test_consumer_finishes_when_the_block_fails():
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with BackgroundConsumer(seen.append, depth=8) as consumer:
            for i in range(5):
                consumer.put(i)
            raise KeyboardInterrupt
    assert seen == [0, 1, 2, 3, 4]


def test_error_of_the_consumer():
    def consume(item: int) -> None:
        raise OSError(item)

    with pytest.raises(OSError, match='0'):  # noqa: SIM117
        with BackgroundConsumer(consume, depth=1) as consumer:
            for i in range(100):
                consumer.put(i)
            pytest.fail('nobody noticed')
