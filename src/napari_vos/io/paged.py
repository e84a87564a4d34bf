"""Arrays whose pages are read from files one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PagedArray(ABC):
    """An array made of equal pages, of which only those asked for are read.

    Parameters
    ----------
    lead
        Shape of the dimensions along which the pages lie, in C order.
    page_shape
        Shape of a page.
    dtype
        Type of the pixels.
    axes
        One letter per dimension, as `FrameStack` takes them; None if the file
        doesn't say.
    """

    def __init__(
        self, lead: tuple[int, ...], page_shape: tuple[int, ...], dtype: Any, axes: str | None
    ) -> None:
        self._numbers = np.arange(np.prod(lead, dtype=int)).reshape(lead)
        self._page_shape = page_shape
        self.shape = (*lead, *page_shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
        self.axes = axes

    @abstractmethod
    def read_page(self, number: int) -> NDArray[Any]:
        """Return a page as an array of the page's shape.

        Raises
        ------
        FramesError
            If it can't be read; names the file and the page.
        """

    def __getitem__(self, index: Any) -> NDArray[Any]:
        places = index if isinstance(index, tuple) else (index,)
        n_lead = self._numbers.ndim
        numbers = self._numbers[places[:n_lead]]
        pages = np.empty((*numbers.shape, *self._page_shape), self.dtype)
        for place in np.ndindex(numbers.shape):
            pages[place] = self.read_page(int(numbers[place]))
        return pages[(slice(None),) * numbers.ndim + tuple(places[n_lead:])]
