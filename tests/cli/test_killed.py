"""A program that is killed goes on when it is called again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
import fake_engine
import napari_vos.engines

factory = fake_engine.Factory()
factory.pause = 0.1
napari_vos.engines.create_propagator = factory
from napari_vos.cli import app
app({arguments!r})
"""


def test_a_killed_program_goes_on(run_json, factory, images, prompts, tmp_path):
    arguments = ["propagate", str(images), str(prompts), "-o", str(tmp_path / "out.tif")]
    folder = str(Path(__file__).parents[1] / "session")
    program = PROGRAM.format(folder=folder, arguments=arguments)
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    journal = tmp_path / "out.session" / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_text().count('"action": "frame"') < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (tmp_path / "out.tif").exists()

    rest = run_json(*arguments)["n_propagated"]
    assert 0 < rest <= 4
    whole = ["propagate", images, prompts, "-o", tmp_path / "whole.tif"]
    assert run_json(*whole)["n_propagated"] == 7
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert run_json("replay", tmp_path / "out.session")["identical"] is True
