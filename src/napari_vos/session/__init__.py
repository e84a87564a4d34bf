"""Rounds of prompt, propagation and correction, headless.

`Session` is the door; the rest of this package stands behind it.
"""

from napari_vos.session.adaptation import AdaptOutcome, Comparison
from napari_vos.session.changes import Changes, FrameChange, ObjectChange, PixelChange
from napari_vos.session.estimate import RoundEstimate
from napari_vos.session.refinement import RefinedLabels, refine_labels
from napari_vos.session.replay import ReplayReport, replay
from napari_vos.session.round import Finish, Progress
from napari_vos.session.session import Session
from napari_vos.session.survey import Newcomer, Search, Survey

__all__ = [
    "AdaptOutcome",
    "Changes",
    "Comparison",
    "Finish",
    "FrameChange",
    "Newcomer",
    "ObjectChange",
    "PixelChange",
    "Progress",
    "RefinedLabels",
    "ReplayReport",
    "RoundEstimate",
    "Search",
    "Session",
    "Survey",
    "refine_labels",
    "replay",
]
