from __future__ import annotations

import psutil
import pytest
import torch

from napari_vos.device import choose_device, choose_precision, free_memory
from napari_vos.errors import DeviceError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """Say which accelerators there are."""

    def machine(*, cuda, mps):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return machine


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_an_accelerator_if_there_is_one(machine, cuda, mps, chosen):
    machine(cuda=cuda, mps=mps)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu") == CPU


def test_a_device_by_number(machine):
    machine(cuda=True, mps=False)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_devices_that_are_not_there(machine, name):
    machine(cuda=False, mps=False)
    with pytest.raises(DeviceError, match=f"'{name}' isn't available.*Choose 'auto' or 'cpu'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["qpu", "", "CPU"])
def test_devices_that_do_not_exist(name):
    with pytest.raises(DeviceError, match=f"Unknown device '{name}'; expected one of auto, cpu"):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "device", "dtype"),
    [
        ("auto", CPU, torch.float32),
        ("auto", CUDA, torch.float16),
        ("float32", CUDA, torch.float32),
        ("bfloat16", CPU, torch.bfloat16),
    ],
)
def test_precisions(name, device, dtype):
    assert choose_precision(name, device) == dtype


def test_precisions_that_cannot_be_used():
    with pytest.raises(DeviceError, match=r"'float16' isn't supported on the CPU. Choose 'auto'"):
        choose_precision("float16", CPU)
    with pytest.raises(DeviceError, match="Unknown precision 'float7'; expected one of auto"):
        choose_precision("float7", CPU)


def test_free_memory_is_that_of_the_device(monkeypatch):
    assert 0 < free_memory(CPU) < psutil.virtual_memory().total
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (123, 456))
    assert free_memory(CUDA) == 123
