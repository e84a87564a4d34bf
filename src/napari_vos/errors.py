"""What a user can mend.

Every error here is shown without a traceback: as a napari notification in the
window, as one line and exit code 2 on the command line. Its text names the
layer or file, says what came and what was expected, and what to do. Anything
else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations


class NapariVosError(Exception):
    """Base of all errors a user can mend."""


class FramesError(NapariVosError):
    """An image stack that can't be read or doesn't fit."""


class PromptError(NapariVosError):
    """A prompt that can't be used: empty, outside the stack, wrong shape or id."""


class WeightsError(NapariVosError):
    """A weights file that is missing, damaged, or of another model."""


class StoreError(NapariVosError):
    """A session folder that can't be read, written or continued."""


class DeviceError(NapariVosError):
    """A device or precision that isn't there, or too little memory."""
