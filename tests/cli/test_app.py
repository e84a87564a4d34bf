from __future__ import annotations

import subprocess
import sys

import pytest

REFUSING = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "napari", "qtpy", "zarr", "skimage"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
from napari_vos.cli import app
app(%r)
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--help"], ["demo", "propagate", "evaluate", "replay"]),
        (["propagate", "--help"], ["--session", "--table", "--frames"]),
        (["evaluate", "--help"], ["--all-objects"]),
    ],
)
def test_help_loads_nothing_heavy(arguments, told):
    finished = subprocess.run(
        [sys.executable, "-c", REFUSING % (arguments,)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    for word in told:
        assert word in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "told", "expected"),
    [
        ([], "Missing command", "commands demo, propagate, "),
        (["segmentate"], "'segmentate'", "commands demo, propagate, "),
        (["--loud"], "--loud", "commands demo, propagate, "),
        (["weights"], "Missing command", "list, check, convert"),
        (["weights", "burn"], "'burn'", "list, check, convert"),
        (["propagate", "--loud"], "--loud", "napari-vos propagate [OPTIONS]"),
        (["propagate", "a.tif"], "'PROMPTS'", "napari-vos propagate [OPTIONS]"),
        (["propagate", "a.tif", "b.tif"], "--output", "napari-vos propagate --help"),
        (["evaluate", "a.tif", "b.tif", "c.tif"], "c.tif", "TRUTH"),
        (["evaluate", "a.tif", "b.tif", "--frames"], "--frames", "an argument"),
        (["train", "compact", "--minutes", "many"], "--minutes", "a valid number"),
        (["train", "compact", "--scenes", "0"], "--scenes", "greater than or equal to 1"),
    ],
)
def test_a_command_line_that_cannot_be_understood(fails, arguments, told, expected):
    line = fails(*arguments)
    assert told in line
    assert expected in line
