from __future__ import annotations

import pytest
import torch

from napari_vos.networks.padding import Padding


@pytest.mark.parametrize(
    ("size", "padding"),
    [
        ((100, 131), (6, 7, 6, 6)),
        ((97, 113), (7, 8, 7, 8)),
        ((479, 854), (5, 5, 0, 1)),
        ((32, 48), (0, 0, 0, 0)),
        ((3, 1), (7, 8, 6, 7)),
    ],
)
def test_frames_are_centred_in_multiples_of_16(
    size: tuple[int, int], padding: tuple[int, ...]
) -> None:
    found = Padding.to_multiple(16, size)
    assert found == padding
    frame = torch.rand(2, *size)
    padded = found.add(frame)
    assert all(side % 16 == 0 for side in padded.shape[-2:])
    assert torch.equal(found.remove(padded), frame)
    assert padded.sum() == pytest.approx(frame.sum())
