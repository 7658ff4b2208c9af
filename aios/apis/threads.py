# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Work ahead of, and behind, the network, in threads with bounded queues."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar('T')
_END = object()
_TICK = 0.1  # seconds between looks whether to stop


def prefetch(
    items: Iterable[T], depth: int, latest: bool = False
) -> Generator[T, None, None]:
    """Iterate in a thread, ahead of the consumer.

    An exception of the thread is raised where its item would have come.
    When the consumer stops early the thread ends too.

    Args:
        items: What to iterate over.
        depth: Number of items that may wait.
        latest: Throw away items that wait too long instead of blocking the
            thread, for cameras.
    """
    waiting: queue.Queue[tuple[Any, BaseException | None]]
    waiting = queue.Queue(depth)
    stop = threading.Event()

    def put(
        item: Any, error: BaseException | None = None, drop: bool = False
    ) -> None:
        while not stop.is_set():
            try:
                waiting.put((item, error), timeout=0 if drop else _TICK)
                return
            except queue.Full:
                if drop:
                    _drop_one(waiting)

    def work() -> None:
        try:
            for item in items:
                put(item, drop=latest)
                if stop.is_set():
                    return
            put(_END)
        except BaseException as error:  # raised again by the consumer
            put(_END, error)

    thread = threading.Thread(target=work, name='prefetch', daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _drop_one(waiting: queue.Queue) -> None:
    with contextlib.suppress(queue.Empty):
        waiting.get_nowait()


class BackgroundConsumer(Generic[T]):
    """Hands items to a function in a thread, one after the other.

    As a context manager it waits at the end until all items are consumed,
    also if the block fails or is interrupted: what was computed is written.

    Args:
        consume: What to do with an item.
        depth: Number of items that may wait.
    """

    def __init__(self, consume: Callable[[T], None], depth: int) -> None:
        self._consume = consume
        self._waiting: queue.Queue[Any] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._work, name='consumer', daemon=True
        )
        self._thread.start()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._error is None:
                try:
                    self._consume(item)
                except BaseException as error:  # raised again by `put`
                    self._error = error

    def put(self, item: T) -> None:
        """Queue an item; waits while too many wait.

        Raises:
            Exception: What the function raised for an earlier item.
        """
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def __enter__(self) -> BackgroundConsumer[T]:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._waiting.put(_END)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
