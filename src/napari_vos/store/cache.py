"""Recently used values within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by name; those not used for longest go first.

    The latest value stays even if it is larger than the budget.

    Parameters
    ----------
    budget
        Bytes that all values may take together.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._values: OrderedDict[str, tuple[Value, int]] = OrderedDict()
        self._n_bytes = 0

    def get(self, name: str) -> Value | None:
        """Return a value, None if it isn't there."""
        found = self._values.get(name)
        if found is None:
            return None
        self._values.move_to_end(name)
        return found[0]

    def put(self, name: str, value: Value, n_bytes: int) -> None:
        """Keep a value that takes `n_bytes`."""
        self.drop(name)
        self._values[name] = (value, n_bytes)
        self._n_bytes += n_bytes
        while self._n_bytes > self._budget and len(self._values) > 1:
            self._n_bytes -= self._values.popitem(last=False)[1][1]

    def drop(self, name: str) -> None:
        """Forget a value, if it is there."""
        found = self._values.pop(name, None)
        if found is not None:
            self._n_bytes -= found[1]
