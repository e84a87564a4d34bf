from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_vos.store.evidence import EndReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_vos.session import Session


@pytest.fixture
def ran(session: Session, blocks: Callable[..., Any]) -> Session:
    """A session in which object 7 walks from column 3 to 19, and object 2 below it."""
    session.add_mask(0, blocks(o7=(2, 3), o2=(12, 3)))
    session.run()
    return session


def columns(session: Session, object_id: int = 7) -> list[int | None]:
    """Return where an object begins on each frame; None where it isn't."""
    found = [np.nonzero((session.labels[t] == object_id).any(axis=0))[0] for t in range(12)]
    return [int(each[0]) if each.size else None for each in found]


def test_nothing_ends_between_two_user_frames(
    ran: Session, factory: Any, blocks: Callable[..., Any]
) -> None:
    before = columns(ran)
    ran.add_mask(6, blocks(o7=(2, 14)))
    factory.loses[(3, 7)] = EndReason.DIVIDED
    ran.run()
    after = columns(ran)
    assert after[:4] == before[:4]
    assert after[4:6] != before[4:6]
    assert None not in after
    assert ran.events == ()
    assert ran.pending == ()
    assert columns(ran, 2) == before


@pytest.mark.parametrize(
    ("reason", "column", "ends"),
    [
        (EndReason.VANISHED, 13, False),
        (EndReason.LEFT, 13, False),
        (EndReason.DIVIDED, 13, False),
        (EndReason.VANISHED, 28, True),  # what the earlier round has followed was something else
    ],
)
def test_what_an_earlier_round_has_followed_goes_on(
    ran: Session,
    factory: Any,
    blocks: Callable[..., Any],
    reason: EndReason,
    column: int,
    ends: bool,
) -> None:
    before = columns(ran)
    ran.add_mask(6, blocks(o7=(2, column)))
    factory.loses[(9, 7)] = reason
    ran.run()
    assert columns(ran)[7:9] != before[7:9]
    assert columns(ran)[9:] == ([None] * 3 if ends else before[9:])
    assert [(event.t, event.reason) for event in ran.ends] == ([(9, reason)] if ends else [])


def test_an_end_that_an_earlier_round_has_found_stays(
    ran: Session, factory: Any, blocks: Callable[..., Any]
) -> None:
    factory.loses[(10, 7)] = EndReason.LEFT
    ran.add_mask(2, blocks(o7=(2, 28)))  # elsewhere, so that this end is believed
    ran.run()
    before = columns(ran)
    assert before[10:] == [None, None]
    ran.add_mask(5, blocks(o7=(2, 32)))
    factory.loses[(7, 7)] = EndReason.VANISHED
    ran.run()
    assert columns(ran)[7:] == before[7:]
    assert [(event.t, event.reason) for event in ran.ends] == [(10, EndReason.LEFT)]
    assert ran.pending == ()


def test_no_more_is_spared_than_was_run(
    session: Session, factory: Any, blocks: Callable[..., Any]
) -> None:
    session.add_mask(0, blocks(o7=(2, 3)))
    session.run(frames=(0, 9))
    before = columns(session)
    session.add_mask(4, blocks(o7=(2, 10)))
    factory.loses[(7, 7)] = EndReason.VANISHED
    session.run(frames=(0, 9))
    assert columns(session)[7:10] == before[7:10]
    session.run()
    assert columns(session)[7:] == [*before[7:10], None, None]
    assert session.pending == ()


def test_a_cancelled_round_spares_the_same(
    ran: Session, factory: Any, blocks: Callable[..., Any]
) -> None:
    before = columns(ran)
    ran.add_mask(6, blocks(o7=(2, 14), o2=(12, 14)))
    factory.loses[(4, 7)] = factory.loses[(8, 7)] = EndReason.VANISHED
    results = ran.propagate()
    for progress in results:
        if progress.t in (3, 9):  # in whichever direction: one frame after the loss
            results.close()
            break
    ran.run()
    after = columns(ran)
    assert after[:5] == before[:5]
    assert after[8:] == before[8:]
    assert None not in columns(ran, 2)
    assert ran.pending == ()
    ran.undo()
    ran.undo()
    assert columns(ran) == columns(ran, 2) == before
