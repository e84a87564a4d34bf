"""Errors as notifications: short for what the user can mend, whole for bugs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari.utils.notifications import notification_manager, show_error

from napari_vos.errors import NapariVosError


def tell_error(error: Exception) -> None:
    """Notify the user of an error from a worker."""
    if isinstance(error, NapariVosError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def told() -> Iterator[None]:
    """Turn a `NapariVosError` into a notification; anything else is raised."""
    try:
        yield
    except NapariVosError as error:
        show_error(str(error))
