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


def test_unknown_commands_are_refused(run):
    code, out, err = run("segmentate")
    assert code == 2
    assert out == ""
    assert "segmentate" in err
