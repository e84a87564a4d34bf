"""The examples of the documentation run, and do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"


def run_examples(page: str) -> dict[str, Any]:
    """Run the Python of a page from top to bottom; return what it has defined."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.S | re.M)
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), page, "exec"), names)
    return names


def test_drawing_roughly() -> None:
    names = run_examples("interaction.md")
    session, truth = names["session"], names["movie"].labels[0]
    assert session.object_ids == (3, 8, 13, 21)
    assert session.user_frames() == (0, 2)
    assert names["changes"].object_ids == (8,)
    assert session.accepted(2) == {0, 8, 13, 21}
    for i in session.object_ids:
        mask = session.labels[0] == i
        overlap = (mask & (truth == i)).sum() / (mask | (truth == i)).sum()
        assert overlap > 0.6, i
    assert {13, 21} <= set(np.unique(session.labels[3]).tolist())
    session.close()
