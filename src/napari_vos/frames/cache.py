"""Frames that stay in memory, and frames that are fetched before they are needed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ByteCache:
    """Arrays by key, the least recently used forgotten first. Safe between threads.

    Parameters
    ----------
    budget
        How many bytes of arrays to keep.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._pending: dict[Hashable, Future[NDArray[Any]]] = {}
        self._n_bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of `key`; make it if it isn't there.

        A thread that asks for an array another one is making waits for it.
        """
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
            future = self._pending.get(key)
            if future is None:
                made = self._pending[key] = Future()
        if future is not None:
            return future.result()
        try:
            array = make()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            made.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._keep(key, array)
        made.set_result(array)
        return array

    def _keep(self, key: Hashable, array: NDArray[Any]) -> None:
        if array.nbytes > self.budget:
            return
        self._arrays[key] = array
        self._n_bytes += array.nbytes
        while self._n_bytes > self.budget:
            self._n_bytes -= self._arrays.popitem(last=False)[1].nbytes


class ReadAhead:
    """Fetches frames in a thread that ends when nothing is wanted any more.

    There is nothing to close: whoever wants no further frames just doesn't ask.

    Parameters
    ----------
    fetch
        Puts a frame where it will be looked for.
    """

    def __init__(self, fetch: Callable[[int], object]) -> None:
        self._fetch = fetch
        self._wanted: deque[int] = deque()
        self._running = False
        self._lock = Lock()

    def want(self, frames: Iterable[int]) -> None:
        """Fetch `frames` in this order, instead of those wanted before."""
        with self._lock:
            self._wanted = deque(frames)
            start = bool(self._wanted) and not self._running
            self._running = self._running or start
        if start:
            Thread(target=self._work, name="napari-vos read ahead").start()

    def _next(self) -> int | None:
        with self._lock:
            self._running = bool(self._wanted)
            return self._wanted.popleft() if self._wanted else None

    def _work(self) -> None:
        while (t := self._next()) is not None:
            # Whoever needs the frame reads it again and gets the error.
            with suppress(FramesError):
                self._fetch(t)
