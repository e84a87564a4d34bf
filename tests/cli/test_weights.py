from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_vos import checkpoints
from napari_vos.networks.compact import CompactNetwork


@pytest.fixture
def state_dict():
    return {key: value.contiguous() for key, value in CompactNetwork().state_dict().items()}


@pytest.fixture
def weights_file(state_dict, tmp_path):
    path = tmp_path / "own.safetensors"
    save_file(state_dict, path)
    return path


def test_list(run_json, weights_file, monkeypatch):
    entry = checkpoints.WeightsEntry("own", "compact", weights_file, {"network": "compact"})
    monkeypatch.setattr(checkpoints, "registered", lambda: (entry,))
    (listed,) = run_json("weights", "list")["weights"]
    assert listed["name"] == "own"
    assert listed["bytes"] == weights_file.stat().st_size
    (checked,) = run_json("weights", "check")["weights"]
    assert checked["path"] == str(weights_file)


def test_check(run_json, weights_file):
    (checked,) = run_json("weights", "check", weights_file)["weights"]
    assert checked["network"] == "compact"
    assert checked["sha256"] == checkpoints.sha256_of(weights_file)


def test_what_does_not_fit(fails, state_dict, weights_file, tmp_path):
    first, *_ = state_dict
    del state_dict[first]
    save_file(state_dict, weights_file)
    message = fails("weights", "check", weights_file)
    assert f"1 missing (such as {first})" in message
    weights_file.write_bytes(b"nothing")
    assert str(weights_file) in fails("weights", "check", weights_file)
    assert "no.safetensors" in fails("weights", "check", tmp_path / "no.safetensors")


def test_convert(run_json, fails, state_dict, tmp_path):
    source, target = tmp_path / "own.pth", tmp_path / "own.safetensors"
    torch.save({"model": state_dict, "epoch": 3}, source)
    converted = run_json("weights", "convert", source, target)
    assert converted["network"] == "compact"
    assert load_file(target).keys() == state_dict.keys()
    assert str(target) in fails("weights", "convert", source, target)
    assert "'own.safetensors'" in fails("weights", "convert", source, tmp_path / "own.pt")
    assert "state dict" in fails("weights", "convert", empty(tmp_path), tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def empty(folder):
    path = folder / "empty.pth"
    torch.save({}, path)
    return path
