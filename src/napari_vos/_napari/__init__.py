"""The bridge to napari: layers to arrays and back, background runs, files, settings."""

from napari_vos._napari.bind import bind

__all__ = ["bind"]
