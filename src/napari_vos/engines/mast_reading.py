"""How frames are read with the features of each network: as the authors do, and as suits cells."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vos.networks.mast import RADIUS, STRIDE

FEATURES_ACROSS = 12
"""As many features as an object should be wide."""

SPACINGS = (2, 8)
"""Fewest and most pixels from one feature to the next."""

MOST_FEATURES = 1 << 20
"""Of a frame; features of large frames are further apart."""


@dataclass(frozen=True)
class Reading:
    """How labels are read.

    Attributes
    ----------
    radius
        Of windows of candidates, in features.
    top_k, nearness
        See `read_labels`.
    labels_each
        How many labels of a feature are read. With one it is the likeliest of
        its pixel; with several they count by their probabilities, and borders
        stay where they are between features.
    aligned
        See `Enlargement`.
    fits_objects
        Whether features are as far apart as suits the objects, rather than
        `STRIDE` pixels.
    """

    radius: int
    top_k: int | None
    nearness: float
    labels_each: int
    aligned: bool
    fits_objects: bool

    @property
    def label_bytes(self) -> int:
        """What the labels of a feature take while they are read."""
        return 2 * 12 * self.labels_each

    def spacing(self, object_side: float | None, shape: tuple[int, int]) -> int:
        """Return how many pixels features should be apart.

        Parameters
        ----------
        object_side
            Median side of the objects in pixels; None if it isn't known.
        shape
            (Y, X) of the frame.
        """
        if object_side is None or not self.fits_objects:
            return STRIDE
        fewest, most = SPACINGS
        wanted = min(most, max(fewest, round(object_side / FEATURES_ACROSS)))
        while shape[0] * shape[1] > MOST_FEATURES * wanted**2:
            wanted += 1
        return wanted


AUTHORS = Reading(RADIUS, None, 0.0, labels_each=1, aligned=False, fits_objects=False)
OURS = Reading(6, 16, 0.05, labels_each=3, aligned=True, fits_objects=True)

READINGS = {"mast": AUTHORS, "mast_small": OURS}
"""By network."""
