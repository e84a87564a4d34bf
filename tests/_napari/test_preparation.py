from __future__ import annotations

from pathlib import Path

from napari_vos._napari.job import EngineOptions
from napari_vos._napari.preparation import prepare


def test_what_makes_masks_is_made_once_and_what_cannot_be_used_is_not_told(monkeypatch) -> None:
    from napari_vos.session.engine import EngineChoice

    made = []
    create = EngineChoice.create_interactor

    def note(self, frames):
        made.append(self.name)
        return create(self, frames)

    monkeypatch.setattr(EngineChoice, "create_interactor", note)
    assert list(prepare(EngineOptions("random_walker"))) == [None]
    assert list(prepare(EngineOptions("mivos", weights=Path("nowhere.pth")))) == [None]
    assert made == ["random_walker", "mivos"]
