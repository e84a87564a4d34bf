"""Interactive video object segmentation for microscopy time-lapses.

The public names are imported on first use: importing the package loads no
torch, no Qt and no napari.
"""

import lazy_loader

try:
    from napari_vos._version import __version__
except ImportError:  # a source tree that was never built
    __version__ = "0.0.0"

__getattr__, __dir__, _public = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_public]
