"""What the user has set in napari's preferences."""

from __future__ import annotations

from napari.settings import get_plugin_settings


def read_setting(group: str, name: str, *, default: object) -> object:
    """Return a setting of the manifest; `default` where napari hasn't registered it.

    That is so in a viewer that was made without a window.
    """
    try:
        settings = get_plugin_settings("napari-vos")
    except KeyError:
        return default
    return getattr(getattr(settings, group, None), name, default)
