"""What the user has set in napari's preferences."""

from __future__ import annotations

import os

from napari.settings import get_plugin_settings, get_settings


def read_setting(group: str, name: str, *, default: object) -> object:
    """Return a setting of the manifest; `default` where napari hasn't registered it.

    That is so in a viewer that was made without a window.
    """
    try:
        settings = get_plugin_settings("napari-vos")
    except KeyError:
        return default
    return getattr(getattr(settings, group, None), name, default)


def memory_budget() -> int | None:
    """Return the bytes that a run may take; None for what is free."""
    gigabytes = read_setting("propagation", "memory", default=0)
    return round(float(str(gigabytes)) * 1e9) or None


def prefer_reader(suffix: str) -> None:
    """Open folders with this ending by this plugin, unless the user has chosen another.

    napari itself reads any folder too, and would ask each time.
    """
    plugins, pattern = get_settings().plugins, f"*{suffix}{os.sep}"
    if pattern not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, pattern: "napari-vos"}
