# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Threads with bounded queues before and after the network."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar

T = TypeVar('T')
_END = object()
_TICK = 0.1  # polling interval of the stop flag, seconds
_FAREWELL = 2.0  # seconds for the thread of a camera to end


def prefetch(
    items: Iterable[T], depth: int, latest: bool = False
) -> Generator[T, None, None]:
    """Iterate in a thread, ahead of the consumer.

    An exception in the thread is raised at the position of its item. If the
    consumer stops early, the thread ends as well, unless a camera blocks it.

    Args:
        items: Items to iterate over.
        depth: Capacity of the queue.
        latest: Drop items that wait too long instead of blocking the thread,
            for cameras.
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
        thread.join(_FAREWELL if latest else None)


def _drop_one(waiting: queue.Queue) -> None:
    with contextlib.suppress(queue.Empty):
        waiting.get_nowait()


class BackgroundConsumer(Generic[T]):
    """Call a function on items in a thread, in order.

    As a context manager it waits at the end until all items are consumed,
    even if the block fails or is interrupted, so computed items are written.

    Args:
        consume: The function.
        depth: Capacity of the queue.
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
        """Queue an item; blocks while the queue is full.

        Raises:
            Exception: The exception of the function for an earlier item.
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
