"""Keys of a window that press buttons."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel


class Keys:
    """Keys that are bound until `unbind`.

    Parameters
    ----------
    viewer
        The window.
    actions
        What each key does.
    """

    def __init__(self, viewer: ViewerModel, actions: Mapping[str, Callable[[], None]]) -> None:
        self._viewer: ViewerModel | None = viewer
        self._names = tuple(actions)
        for key, action in actions.items():
            viewer.bind_key(key, partial(_do, action), overwrite=True)

    def unbind(self) -> None:
        """Free the keys."""
        if self._viewer is not None:
            for key in self._names:
                self._viewer.bind_key(key, None)
            self._viewer = None


def _do(action: Callable[[], None], viewer: ViewerModel) -> None:
    del viewer  # napari hands it to all
    action()
