"""What the user says about objects, frozen and free of any layer.

A prompt speaks about one frame. Coordinates are (y, x) in data pixels of it,
floats, pixel centres at integers. Object ids are the user's own label values, 1
to `MAX_OBJECT_ID`, never renumbered.
"""

from napari_vos.prompts.drawing import Drawing, draw
from napari_vos.prompts.drawn import (
    BoxPrompt,
    DrawnPrompt,
    PointPrompt,
    ScribblePrompt,
    box_prompt,
    point_prompt,
    scribble_prompt,
)
from napari_vos.prompts.ids import MAX_OBJECT_ID
from napari_vos.prompts.mask import MaskPrompt, mask_prompt
from napari_vos.prompts.painted import painted_scribbles

__all__ = [
    "MAX_OBJECT_ID",
    "BoxPrompt",
    "Drawing",
    "DrawnPrompt",
    "MaskPrompt",
    "PointPrompt",
    "ScribblePrompt",
    "box_prompt",
    "draw",
    "mask_prompt",
    "painted_scribbles",
    "point_prompt",
    "scribble_prompt",
]
