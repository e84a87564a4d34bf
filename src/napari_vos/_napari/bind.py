"""Running a session of the console in the background of a window."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_vos._napari.run import Run
from napari_vos._napari.snapshot import ImageSnapshot, take_image
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos.session import Progress, Session
    from napari_vos.session.spans import Direction


def bind(
    viewer: ViewerModel,
    session: Session,
    *,
    frames: tuple[int, int] | None = None,
    direction: Direction = "both",
    follow: bool = False,
) -> Run:
    """Propagate a session in the background, and show its labels in a layer.

    Parameters
    ----------
    viewer
        A window that shows the session's images in a layer.
    session
        A session with at least one prompt.
    frames, direction
        As `Session.propagate` takes them.
    follow
        Whether the view moves along with the frames.

    Returns
    -------
    Run
        With `cancel()`, and `wait()`, which returns why the run has stopped.

    Raises
    ------
    FramesError
        If no image layer shows the session's images.

    Examples
    --------
    >>> run = bind(viewer, session)  # doctest: +SKIP
    >>> run.wait()  # doctest: +SKIP
    """
    image = _find_image(viewer, session)

    def work() -> Generator[Session | Progress]:
        yield session
        with closing(session.propagate(frames=frames, direction=direction)) as results:
            yield from results

    return Run(viewer, image, work, follow=follow)


def _find_image(viewer: ViewerModel, session: Session) -> ImageSnapshot:
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    images.sort(key=lambda layer: layer.name != session.frames.name)
    expected = (session.frames.n_frames, *session.frames.shape)
    for layer in images:
        try:
            image = take_image(layer)
        except FramesError:  # not the one that is looked for
            continue
        if tuple(image.shape[image.letters.index(axis)] for axis in "TYX") == expected:
            return image
    raise FramesError(
        f"No image layer has the shape of '{session.frames.name}' (T, Y, X) = {expected}. "
        "Add its images to the viewer first."
    )
