"""A generator in a thread of its own, closed when it stops."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any

from superqt.utils import GeneratorWorker


class ClosingWorker(GeneratorWorker[Any, None, None]):
    """Runs a generator until its end, an error, or `quit`.

    The base class leaves an aborted generator open until it is collected, and
    swallows RuntimeErrors; a round must be closed at once, in its own thread.
    """

    _gen: Generator[Any, None, None]

    def work(self) -> None:
        """Drive the generator."""
        with closing(self._gen) as results:
            for result in results:
                self.yielded.emit(result)
                if self.abort_requested:
                    self.aborted.emit()
                    return
