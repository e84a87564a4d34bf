"""Single steps at the press of a button: undo, accept, delete and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from napari_vos._napari.notify import told
from napari_vos._napari.snapshot import show_frame
from napari_vos.errors import PromptError
from napari_vos.session import Finish, Session

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_vos._napari.desk import Desk
    from napari_vos._napari.snapshot import ImageSnapshot


class Aim(NamedTuple):
    """What a step is about.

    Attributes
    ----------
    image, session
        The images and their session.
    t
        The frame in view; None if it can't be told.
    object_id
        The current object.
    """

    image: ImageSnapshot
    session: Session
    t: int | None
    object_id: int

    def frame(self) -> int:
        """Return the frame in view.

        Raises
        ------
        PromptError
            If it can't be told.
        """
        if self.t is None:
            raise PromptError(
                "The view shows time as a picture axis, so the frame can't be told. Go back to the "
                "2-D view of rows and columns."
            )
        return self.t


class Steps:
    """Does single steps with the session that is chosen, in a worker.

    Parameters
    ----------
    viewer
        The window.
    desk
        What does them.
    aim
        Returns what the next step is about; None if there is no open session.
    tell
        Shows a line.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        desk: Desk,
        aim: Callable[[], Aim | None],
        tell: Callable[[str], None],
    ) -> None:
        self.checked: set[int] = set()
        """Frames that were looked at since the last run."""
        self._viewer = viewer
        self._desk = desk
        self._aim = aim
        self._tell = tell

    def undo(self) -> None:
        """Take back the latest step."""
        self._do(lambda aim: Session.undo, "Undone.")

    def redo(self) -> None:
        """Do again what was undone last."""
        self._do(lambda aim: Session.redo, "Done again.")

    def check(self) -> None:
        """Go to the next frame to check; those looked at since the last run are left out."""
        seen = frozenset(self.checked)
        found: list[int | None] = []

        def show(aim: Aim) -> None:
            t = found[0] if found else None
            if t is None:
                self.checked.clear()
                self._tell("Nothing else is in doubt. Press again to begin anew.")
            else:
                self.checked.add(t)
                show_frame(aim.image, self._viewer, t)
                self._tell(f"Frame {t}: correct it, or press again for the next one.")

        def look(session: Session) -> None:
            found.append(session.next_frame(skip=seen))

        self._do(lambda aim: look, "", show)

    def accept(self, frames: Collection[int] | None, *, alone: bool) -> None:
        """Accept frames, or the one in view; all of them, or the current object alone."""

        def choose(aim: Aim) -> Callable[[Session], None]:
            chosen = [aim.frame()] if frames is None else sorted(frames)
            ids = [aim.object_id] if alone else None
            return lambda session: session.accept(chosen, ids)

        where = "This frame" if frames is None else f"{len(frames)} frames"
        self._do(choose, f"{where} accepted: later runs don't change what is locked there.")

    def delete(self) -> None:
        """Delete the current object."""
        self._do(lambda aim: lambda session: session.delete_object(aim.object_id), "Deleted.")

    def end(self) -> None:
        """End the current object on the frame in view."""

        def choose(aim: Aim) -> Callable[[Session], None]:
            t = aim.frame()
            return lambda session: session.end_object(aim.object_id, t)

        self._do(choose, "Ended.")

    def merge(self, other_id: int) -> None:
        """Make another object part of the current one."""

        def choose(aim: Aim) -> Callable[[Session], None]:
            return lambda session: session.merge_objects(aim.object_id, other_id)

        self._do(choose, "Merged.")

    def split(self, parts: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None) -> None:
        """Split the current object on the frame in view."""
        new: list[int] = []

        def choose(aim: Aim) -> Callable[[Session], None]:
            t = aim.frame()
            return lambda session: new.append(session.split_object(aim.object_id, t, parts))

        def show(_: Aim) -> None:
            if new:
                self._tell(f"Object {new[0]} is new. Propagate carries both through time.")

        self._do(choose, "", show)

    def _do(
        self,
        choose: Callable[[Aim], Callable[[Session], object]],
        done: str,
        show: Callable[[Aim], None] | None = None,
    ) -> None:
        """Do a step in a worker, and show what it has given if it is completed."""
        with told():
            aim = self._aim()
            if aim is None:
                return

            def then(finish: Finish) -> None:
                if show is not None and finish is Finish.COMPLETED:
                    show(aim)

            self._desk.step(aim.image, aim.session, choose(aim), done=done, then=then)
