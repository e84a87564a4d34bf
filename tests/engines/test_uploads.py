from __future__ import annotations

import pytest
import torch

from napari_vos.engines.uploads import Uploads


def test_nothing_is_sent_ahead_on_a_cpu() -> None:
    uploads, tensor = Uploads(torch.device("cpu")), torch.rand(3)
    assert not uploads.are_ahead
    assert uploads.take("3") is None
    assert uploads.send(tensor) is tensor


@pytest.mark.gpu
def test_what_was_sent_ahead_is_taken_by_its_name() -> None:
    uploads, tensor = Uploads(torch.device("cuda")), torch.rand(1000, 1000)
    uploads.begin("3", tensor)
    assert uploads.take("4") is None
    taken = uploads.take("3")
    assert taken is not None
    assert taken.is_cuda
    assert torch.equal(taken.cpu(), tensor)
    assert uploads.take("3") is None
