from ._napari import bind as bind
from .frames import FrameStack as FrameStack
from .io import open_frames as open_frames
from .io import open_labels as open_labels
from .io import write_labels as write_labels
from .session import Session as Session
from .session import refine_labels as refine_labels

__version__: str
