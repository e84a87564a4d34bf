"""Image stacks of any size, read one frame at a time."""

from napari_vos.frames.normalization import Normalization
from napari_vos.frames.stack import FrameStack

__all__ = ["FrameStack", "Normalization"]
