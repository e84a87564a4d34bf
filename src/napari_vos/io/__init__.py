"""Images and labels in files: opening and writing them one frame at a time."""

from napari_vos.io.ctc import CtcTrack, write_ctc
from napari_vos.io.export import write_labels
from napari_vos.io.labels import LabelStack
from napari_vos.io.sources import open_frames, open_labels
from napari_vos.io.table import EventRow, Judgement, ObjectRow, object_table, write_table

__all__ = [
    "CtcTrack",
    "EventRow",
    "Judgement",
    "LabelStack",
    "ObjectRow",
    "object_table",
    "open_frames",
    "open_labels",
    "write_ctc",
    "write_labels",
    "write_table",
]
