from __future__ import annotations

from napari_vos._napari.pace import Pace
from napari_vos.session import Progress


def progress(n_done: int, n_total: int) -> Progress:
    return Progress(n_done, (1,), {1: 1.0}, n_done, n_total)


def test_rate_and_time_left() -> None:
    times = iter([0.0, 0.5, 1.0])
    pace = Pace(lambda: next(times))
    assert pace.describe(progress(1, 200)) == "1 of 200 frames, 2.0 frames/s, 1 min 40 s left"
    assert pace.describe(progress(4, 14404)) == "4 of 14404 frames, 4.0 frames/s, 1 h 0 min left"


def test_slow_frames_are_told_one_by_one() -> None:
    times = iter([0.0, 12.0])
    pace = Pace(lambda: next(times))
    assert pace.describe(progress(1, 6)) == "1 of 6 frames, 12.0 s/frame, 1 min 0 s left"


def test_frames_of_an_earlier_run_do_not_count() -> None:
    times = iter([0.0, 1.0, 2.0])
    pace = Pace(lambda: next(times))
    assert "1.0 frames/s" in pace.describe(progress(51, 60))
    assert pace.describe(progress(52, 60)) == "52 of 60 frames, 1.0 frames/s, 8 s left"
