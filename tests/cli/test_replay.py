from __future__ import annotations

import pytest


@pytest.fixture
def session(run_json, factory, images, prompts, tmp_path):
    run_json("propagate", images, prompts, "-o", tmp_path / "out.tif")
    return tmp_path / "out.session"


def test_identical(run, run_json, session):
    assert run("replay", session)[:2] == (0, "Identical on every frame.\n")
    assert run_json("replay", session)["identical"] is True


def test_moved_images(fails, run_json, session, images, tmp_path):
    moved = images.rename(tmp_path / "moved.tif")
    assert "images.tif" in fails("replay", session)
    assert run_json("replay", session, "--images", moved)["share"] == 0


def test_differences_are_told(run, session, factory, monkeypatch, fake):
    monkeypatch.setattr(fake, "DECAY", fake.DECAY / 2)
    monkeypatch.setattr(
        fake.WalkingPropagator,
        "_move",
        lambda self, item, step, move=fake.WalkingPropagator._move: move(self, item, 2 * step),
    )
    code, out, _ = run("replay", session)
    assert code == 1
    assert "of the pixels differ" in out


def test_no_session(fails, tmp_path):
    assert str(tmp_path) in fails("replay", tmp_path)
