"""Panels fit into a window that is small."""

from __future__ import annotations

from typing import Any

import pytest
from magicgui.widgets import Container, PushButton

from napari_vos.widgets.layout import let_scroll, make_tabs, make_text

pytestmark = pytest.mark.gui

N_BUTTONS = 30


def high_panel() -> Container[Any]:
    buttons = [PushButton(text="a long text " * 4) for _ in range(N_BUTTONS)]
    return Container(widgets=buttons, labels=False)


def test_a_panel_scrolls_and_stays_as_wide_as_what_it_holds(qtbot: Any) -> None:
    panel = high_panel()
    qtbot.addWidget(panel.native)
    before = panel.native.minimumSizeHint()
    let_scroll(panel.native)
    after = panel.native.minimumSizeHint()
    assert after.height() < before.height() / 2
    assert after.width() >= before.width()
    assert all(button.native.window() is panel.native for button in panel)


def test_tabs_are_as_wide_as_the_widest_panel(qtbot: Any) -> None:
    panel = high_panel()
    width = panel.native.minimumSizeHint().width()
    tabs = make_tabs({"narrow": Container(), "wide": panel})
    qtbot.addWidget(tabs)
    assert tabs.minimumSizeHint().width() >= width


def test_a_text_takes_the_width_that_is_there(qtbot: Any) -> None:
    panel: Container[Any] = Container(widgets=[make_text("word " * 20)], labels=False)
    qtbot.addWidget(panel.native)
    panel.native.resize(400, 300)
    panel.show()
    assert panel[0].native.width() > 350
