from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_vos import checkpoints
from napari_vos.errors import WeightsError
from napari_vos.networks.compact import CompactNetwork


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return CompactNetwork().state_dict()


def assert_loads(path: Path, state: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    loaded = checkpoints.load_network("compact", path).state_dict()
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(loaded[key], value, rtol=tolerance, atol=tolerance)


def test_half_precision_safetensors(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    assert_loads(path, state, tolerance=1e-3)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_containers(tmp_path: Path, state: dict[str, torch.Tensor], zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    assert_loads(path, state)


def test_prefix_and_optimizer_around(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.pth"
    prefixed = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": prefixed, "optimizer": {"lr": 0.1}}, path)
    assert_loads(path, state)


def test_truncated(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"weights\.safetensors.*damaged"):
        checkpoints.load_network("compact", path)


def test_missing_and_unexpected_keys_are_named(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "weights.safetensors"
    removed = next(iter(state))
    save_file({k: v for k, v in state.items() if k != removed} | {"extra": torch.ones(1)}, path)
    found = checkpoints.identify(path)
    assert (found.network, found.missing, found.unexpected) == ("compact", (removed,), ("extra",))
    with pytest.raises(WeightsError, match="1 missing keys"):
        checkpoints.load_network("compact", path)


def test_another_model(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"encoder.weight": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match=r"no known network.*encoder\.weight"):
        checkpoints.identify(path)


def test_keys_that_are_no_strings(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({1: torch.ones(2)}, path)
    with pytest.raises(WeightsError, match="no state dict"):
        checkpoints.identify(path)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.target,)


def test_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    path, touched = tmp_path / "weights.pth", tmp_path / "touched"
    torch.save({"state_dict": Malicious(touched)}, path)
    with pytest.raises(WeightsError, match="could run code"):
        checkpoints.identify(path)
    assert not touched.exists()


def test_the_shipped_card_fits_its_weights() -> None:
    (entry,) = checkpoints.registered()
    assert entry.card["sha256"] == hashlib.sha256(entry.path.read_bytes()).hexdigest()
    assert checkpoints.identify(entry.path).fits


def test_unknown_name() -> None:
    with pytest.raises(WeightsError, match=r"'nothing'.*compact"):
        checkpoints.resolve("nothing", "compact")
