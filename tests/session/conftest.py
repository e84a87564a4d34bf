from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_vos.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


@pytest.fixture
def frames(fake: ModuleType) -> Any:
    """12 frames of 24 x 40 pixels."""
    return fake.FakeFrames()


@pytest.fixture
def blocks(fake: ModuleType, frames: Any) -> Callable[..., Any]:
    """Return labels with 4 x 4 blocks: blocks(o7=(2, 3)) is object 7 at row 2, column 3."""
    return lambda **corners: fake.blocks(frames.shape, **corners)


@pytest.fixture
def session(frames: Any, factory: Any) -> Iterator[Session]:
    with Session(frames) as session:
        yield session
