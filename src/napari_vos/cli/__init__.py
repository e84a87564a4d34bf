"""The command line, working on files."""

from napari_vos.cli.app import app

__all__ = ["app"]
