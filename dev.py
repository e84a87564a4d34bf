"""Run napari-vos from a bare clone: Python and git are all it needs.

python dev.py demo [ARGUMENTS]    segment a simulated time-lapse and score it
python dev.py test [ARGUMENTS]    run the tests; ARGUMENTS go to pytest
python dev.py check               lint, types, layers and documentation

Each command makes .venv beside this file when it isn't there, installs what
it needs once, and again only after pyproject.toml or constraints.txt changed.
Torch comes as a CPU build. To choose another one, set NAPARI_VOS_TORCH to what
pip should install, for instance
"torch==2.13.0+cu130 --index-url https://download.pytorch.org/whl/cu130".
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
SCRIPTS = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin")
LINUX = sys.platform.startswith("linux")
CPU_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

GROUPS = {"demo": (), "test": ("test",), "check": ("lint", "docs")}
"""Dependency groups of pyproject.toml that each command needs."""

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    ("mkdocs", "build", "--strict", "--quiet"),
)

WINDOW_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
"""What Qt loads on Linux, with the Debian and Ubuntu package that brings it."""


def run(program: str, *arguments: str) -> None:
    """Run a program of the environment in the checkout; end with its exit code if it fails."""
    finished = subprocess.run([str(SCRIPTS / program), *arguments], cwd=ROOT, check=False)
    if finished.returncode:
        raise SystemExit(finished.returncode)


def pip_install(*arguments: str) -> None:
    """Install into the environment."""
    run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def create_environment() -> None:
    """Make .venv."""
    print(f"Creating {ENVIRONMENT}", flush=True)
    try:
        venv.create(ENVIRONMENT, with_pip=True)
    except subprocess.CalledProcessError:
        raise SystemExit(
            "This Python can't make a virtual environment with pip. On Debian and Ubuntu: "
            "apt-get install python3-venv. Then delete .venv and try again."
        ) from None


def install_torch() -> None:
    """Install the torch of constraints.txt, or the one the user chose.

    Without its dependencies, so that nothing else is looked for in the index
    of CPU builds; they come with the project. Only Linux needs that index.
    """
    choice = os.environ.get("NAPARI_VOS_TORCH")
    if choice:
        pip_install(*shlex.split(choice))
        return
    index = ("--extra-index-url", CPU_TORCH_INDEX, "--retries", "1") if LINUX else ()
    pip_install("--no-deps", "--constraint", "constraints.txt", *index, "torch")


def wanted(command: str) -> str:
    """Return a hash of all that decides what `command` needs installed."""
    parts = [
        (ROOT / "pyproject.toml").read_bytes(),
        (ROOT / "constraints.txt").read_bytes(),
        os.environ.get("NAPARI_VOS_TORCH", "").encode(),
        " ".join(GROUPS[command]).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def install(command: str) -> None:
    """Install what `command` needs, unless that was done before."""
    stamp = ENVIRONMENT / f"installed-for-{command}"
    if stamp.is_file() and stamp.read_text() == wanted(command):
        return
    if not (ENVIRONMENT / "pyvenv.cfg").is_file():
        create_environment()
    print(f"Installing what '{command}' needs; this takes minutes the first time", flush=True)
    pip_install("--upgrade", "pip>=25.1")
    install_torch()
    groups = [argument for group in GROUPS[command] for argument in ("--group", group)]
    pip_install("--editable", ".", *groups)
    stamp.write_text(wanted(command))


def require_window_libraries() -> None:
    """End with the name of each library that Qt needs and Linux doesn't have."""
    missing = {}
    for library, package in WINDOW_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing[library] = package
    if missing:
        raise SystemExit(
            f"The window needs system libraries that are missing: {', '.join(missing)}.\n"
            f"On Debian and Ubuntu: apt-get install {' '.join(missing.values())}"
        )


def main(command: str, arguments: list[str]) -> None:
    """Install what a command needs, then run it."""
    if command == "test" and LINUX:
        require_window_libraries()
    install(command)
    if command == "demo":
        run("napari-vos", "demo", *arguments)
    elif command == "test":
        run("python", "-m", "pytest", *arguments)
    else:
        for check in CHECKS:
            print("$", *check, flush=True)
            run(*check)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        raise SystemExit(f"napari-vos needs Python 3.11 or newer; this is {sys.version}.")
    if len(sys.argv) < 2 or sys.argv[1] not in GROUPS:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
