"""Where sessions are kept."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from platformdirs import user_data_path

from napari_vos._napari.settings import read_setting

SUFFIX = ".session"
"""How a session's folder should end: napari then opens it without asking for a reader."""


def is_session(folder: Path) -> bool:
    """Return whether there is a session in a folder."""
    return (folder / "session.json").is_file() and (folder / "journal.jsonl").is_file()


def new_folder(name: str) -> Path:
    """Return a folder for a new session on images of this name; it isn't made yet."""
    chosen = str(read_setting("sessions", "folder", default=""))
    base = Path(chosen).expanduser() if chosen else user_data_path("napari-vos") / "sessions"
    stem = re.sub(r"[^\w-]+", "_", name).strip("_")[:40] or "session"
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    folder, n = base / f"{stem}_{stamp}{SUFFIX}", 2
    while folder.exists():
        folder, n = base / f"{stem}_{stamp}_{n}{SUFFIX}", n + 1
    return folder
