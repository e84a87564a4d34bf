from __future__ import annotations

import pytest

from napari_vos.errors import NapariVosError
from napari_vos.session.turns import Phase, Turns


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.CHANGING, "'phase'. Try again"),
        (Phase.RUNNING, "'phase' is being propagated. Cancel that"),
        (Phase.CLOSED, "'phase' is closed"),
    ],
)
def test_a_taken_turn_is_refused_in_words(phase, words):
    turns = Turns("phase")
    turns.take(phase)
    with pytest.raises(NapariVosError, match=words), turns.changing():
        pass
    assert turns.phase is phase


def test_a_failed_change_gives_the_turn_back():
    turns = Turns("phase")
    with pytest.raises(ValueError, match="oops"), turns.changing():
        raise ValueError("oops")
    turns.take(Phase.RUNNING)
