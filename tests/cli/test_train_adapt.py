from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vos.session.adaptation import StackAdaptation
from napari_vos.training.adapt import AdaptProgress
from tests.lessons import LineLessons


@pytest.fixture
def asked(monkeypatch, factory):
    """The annotated frames that were learned from."""
    asked: list[list[int]] = []

    def lessons(self: StackAdaptation, annotated: Any) -> LineLessons:
        asked.append(sorted(annotated))
        return LineLessons()

    monkeypatch.setattr(StackAdaptation, "_lessons", lessons)
    return asked


def test_weights_and_what_was_found_are_written(run, asked, images, prompts, tmp_path):
    out = tmp_path / "adapted.safetensors"
    arguments = ("--labels", prompts, "-o", out, "--minutes", "0.01")
    code, printed, progress = run("train", "adapt", images, *arguments)
    assert code == 0, progress
    assert asked == [[0]]
    assert out.stat().st_size > 0
    assert printed.startswith("Kept: from frame 0 to frame 7 and back, J was ")
    assert printed.endswith(f"The weights are in '{out}'; use them with --engine compact.\n")
    assert progress.startswith("  0%  step 0  loss ")


@pytest.mark.parametrize("engine", ["compact", "mast"])
def test_images_are_enough(run, asked, images, prompts, tmp_path, monkeypatch, engine):
    chosen = []
    lessons = StackAdaptation._lessons

    def note(self: StackAdaptation, annotated: Any) -> Any:
        chosen.append(self._choice.name)
        return lessons(self, annotated)

    monkeypatch.setattr(StackAdaptation, "_lessons", note)
    monkeypatch.chdir(tmp_path)
    masks = ("--labels", prompts) if engine == "compact" else ()
    code, printed, progress = run("train", "adapt", images, *masks, "--minutes", "0.01")
    assert code == 0, progress
    assert chosen == [engine]
    name = f"images-{engine}.safetensors"
    assert (tmp_path / name).stat().st_size > 0
    assert printed.endswith(f"The weights are in '{name}'; use them with --engine {engine}.\n")


def test_what_was_learned_until_an_error_is_written(
    run, asked, images, prompts, tmp_path, monkeypatch
):
    learn = LineLessons.losses
    calls = []

    def fail(self, network, batch, generator):
        calls.append(1)
        if len(calls) > 28:
            raise MemoryError
        return learn(self, network, batch, generator)

    monkeypatch.setattr(LineLessons, "losses", fail)
    out = tmp_path / "adapted.safetensors"
    code, printed, progress = run("train", "adapt", images, "--labels", prompts, "-o", out)
    assert (code, printed) == (2, "")
    assert out.stat().st_size > 0
    assert f"The weights are in '{out}'" in progress
    assert "Memory ran out in step" in progress.splitlines()[-1]


def test_two_frames_with_masks_are_compared(
    run_json, asked, images, prompts, tmp_path, monkeypatch
):
    labels = tifffile.imread(prompts)
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.roll(labels, 3, axis=0))
    out = tmp_path / "adapted.safetensors"
    arguments = ("--labels", prompts, "--labels", other, "-o", out, "--minutes", "0.01")
    printed = run_json("train", "adapt", images, *arguments)
    comparison = printed["comparison"]
    assert comparison["way"] == [0, 3]
    assert comparison["before"] == comparison["after"]
    assert printed["weights"] == str(out)
    assert printed["loss_after"] < printed["loss_before"]
    out.unlink()
    falling = iter((0.9, 0.8))

    def attempt(*_):
        yield AdaptProgress(0, 0.0, None)
        return next(falling)

    monkeypatch.setattr(StackAdaptation, "_try", attempt)
    printed = run_json("train", "adapt", images, *arguments)
    assert printed["weights"] is None
    assert not out.exists()


def test_ctrl_c_keeps_what_was_learned(run, asked, images, prompts, tmp_path, monkeypatch):
    learn = LineLessons.losses
    calls = []

    def stop(self, network, batch, generator):
        calls.append(1)
        if len(calls) > 28:
            raise KeyboardInterrupt
        return learn(self, network, batch, generator)

    monkeypatch.setattr(LineLessons, "losses", stop)
    out = tmp_path / "adapted.safetensors"
    code, printed, progress = run("train", "adapt", images, "--labels", prompts, "-o", out)
    assert code == 0
    assert progress.endswith("Stopped.\n")
    assert printed.startswith("Kept")
    assert out.exists()


def test_what_cannot_be_used_is_refused(fails, images, prompts, tmp_path):
    out = tmp_path / "adapted.safetensors"
    adapt = ("train", "adapt", images)
    assert "ending in .safetensors" in fails(*adapt, "-o", tmp_path / "adapted.pt")
    assert "There is no folder" in fails(*adapt, "-o", tmp_path / "none" / out.name)
    told = fails(*adapt, "-o", out, "--engine", "compact")
    assert "No object of 25 pixels or more is marked" in told
    assert "take the engine 'mast', which learns from the images alone" in told
    assert "can't be adapted" in fails(*adapt, "-o", out, "--engine", "mivos")
    assert not out.exists()


def test_no_file_is_replaced(fails, asked, images, prompts, tmp_path):
    out = tmp_path / "adapted.safetensors"
    out.write_bytes(b"mine")
    told = fails("train", "adapt", images, "--labels", prompts, "-o", out, "--minutes", "0.01")
    assert "exists already. Choose another name" in told
    assert out.read_bytes() == b"mine"
    assert not asked
