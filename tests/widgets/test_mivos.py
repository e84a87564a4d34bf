"""Propagating with MiVOS from the window: which files it asks for, and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_vos.configs import MivosConfig
from napari_vos.engines import create_propagator
from napari_vos.session import Finish

pytestmark = pytest.mark.gui


def test_files_are_asked_for_where_they_are_needed(window: Any) -> None:
    form = window.widget.form
    rows = form.fusion_weights.native, form.published.native
    assert [row.isHidden() for row in rows] == [True, True]
    form.engine.value = "mivos"
    assert [row.isHidden() for row in rows] == [False, False]
    assert 'href="https://github.com/hkchengrex/MiVOS"' in form.published.value
    assert form.published.native.openExternalLinks()
    form.fusion_weights.value = file = Path("fusion.pth").absolute()
    assert form.options.config == MivosConfig(fusion_weights=str(file))
    form.engine.value = "compact"
    assert [row.isHidden() for row in rows] == [True, True]
    assert form.options.config is None


def test_a_run_without_weights_says_what_is_needed(
    window: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vos.engines.create_propagator", create_propagator)
    window.widget.form.engine.value = "mivos"
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert "https://github.com/hkchengrex/MiVOS" in window.notices
    assert "'compact' needs none" in window.notices


@pytest.mark.slow
def test_a_run_with_both_files(
    window: Any, mivos_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vos.engines.create_propagator", create_propagator)
    form = window.widget.form
    form.engine.value, form.last.value = "mivos", 3
    form.weights.value, form.fusion_weights.value = mivos_files
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.widget.bar.value == 3
