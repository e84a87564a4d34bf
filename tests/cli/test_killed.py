"""A run killed at any moment goes on when it is called again, and ends with the same labels."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import fake_engine
import napari_vos.engines
from napari_vos.cli import app

factory = fake_engine.Factory()
factory.pause = 0.1
napari_vos.engines.create_propagator = factory
app(sys.argv[1:])
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    folder = Path(__file__).parents[1] / "session"
    command = [sys.executable, "-c", SLOW, str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def count_frames(session: Path) -> int:
    journal = session / "journal.jsonl"
    if not journal.is_file():
        return 0
    return sum('"action": "frame"' in line for line in journal.read_text().splitlines())


@pytest.mark.parametrize("n_frames", [0, 3])
def test_a_killed_run_goes_on(run_json, factory, images, prompts, tmp_path, n_frames):
    arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif")
    process = start(*arguments)
    session = tmp_path / "out.session"
    deadline = time.monotonic() + 120
    while count_frames(session) < n_frames or not (session / "session.json").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = count_frames(session)
    assert n_frames <= done < 7
    assert not (tmp_path / "out.tif").exists()
    assert run_json(*arguments)["n_propagated"] == 7 - done
    run_json(*arguments[:-1], tmp_path / "whole.tif")
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
