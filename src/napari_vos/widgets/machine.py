"""Where and how to compute: the fields that forms share."""

from __future__ import annotations

from magicgui.widgets import ComboBox

from napari_vos._napari.settings import read_setting

# As in `napari_vos.device`, which loads torch: a form opens without it.
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "float16", "bfloat16")


def make_device(tooltip: str) -> ComboBox:
    """Return the field for the device; it begins with the one of the settings."""
    return _make("device", DEVICES, tooltip)


def make_precision(tooltip: str) -> ComboBox:
    """Return the field for the precision; it begins with the one of the settings."""
    return _make("precision", PRECISIONS, tooltip)


def choose(field: ComboBox, value: str) -> None:
    """Choose a value, which is offered from now on if it wasn't."""
    offered = tuple(field.choices)
    if value not in offered:
        # A function, which is asked again when choices are reset.
        field.choices = lambda _: (*offered, value)
    field.value = value


def _make(name: str, choices: tuple[str, ...], tooltip: str) -> ComboBox:
    value = read_setting("propagation", name, default="auto")
    return ComboBox(label=name, choices=choices, value=value, tooltip=tooltip)
