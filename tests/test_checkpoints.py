from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_vos import checkpoints
from napari_vos.errors import WeightsError
from tests.golden import GAINS, golden_shapes, golden_weights

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of the fusion network of MiVOS: few, and in no file of the package."""
    return golden_weights(golden_shapes("mivos_fusion"), GAINS["mivos_fusion"])


def with_prefix(state: State) -> State:
    return {f"module.{key}": value for key, value in state.items()}


def in_half(state: State) -> State:
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def optimizer_state(state: State) -> dict[str, Any]:
    """What training with Adam leaves behind: more tensors than the network has."""
    return {
        "state": {
            index: {"step": torch.tensor(1.0), "exp_avg": value, "exp_avg_sq": value.square()}
            for index, value in enumerate(state.values())
        },
        "param_groups": [{"lr": 1e-3, "params": list(range(len(state)))}],
    }


def assert_loads(path: Path, network: str, state: State, tolerance: float = 0.0) -> None:
    assert checkpoints.identify(path).fits
    loaded = checkpoints.load_network(network, path)
    assert not loaded.training
    loaded_state = loaded.state_dict()
    assert loaded_state.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(loaded_state[key], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        with_prefix,
        lambda state: {"optimizer": optimizer_state(state), "state_dict": with_prefix(state)},
        lambda state: {"model": state, "optimizer_state": optimizer_state(state), "epoch": 7},
        lambda state: {k: torch.nn.Parameter(v) for k, v in state.items()},
    ],
    ids=["plain", "prefix", "prefix in state_dict", "model", "parameters"],
)
def test_historical_containers(tmp_path: Path, state: State, wrap: Any, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(wrap(state), path, _use_new_zipfile_serialization=zipped)
    assert_loads(path, "mivos_fusion", state)


@pytest.mark.parametrize("zipped", [True, False])
def test_half_precision(tmp_path: Path, state: State, zipped: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(in_half(state), path, _use_new_zipfile_serialization=zipped)
    assert_loads(path, "mivos_fusion", state, tolerance=1e-3)


def test_half_precision_safetensors(tmp_path: Path, state: State) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(in_half(state), path)
    assert_loads(path, "mivos_fusion", state, tolerance=1e-3)


@pytest.mark.parametrize(
    ("network", "manifest"),
    [
        ("mivos_propagation", "mivos_prop"),
        ("mivos_fusion", "mivos_fusion"),
        ("mivos_scribble", "mivos_s2m"),
        ("mast", "mast"),
        ("pointrend", "pointrend_res50_full"),
        ("pointrend_head", "pointrend_head"),
        ("yolact_base", "yolact_base"),
        ("yolact_resnet50", "yolact_resnet50"),
        ("yolact_darknet53", "yolact_darknet53"),
        ("yolact_darknet53", "yolact_darknet53_nc6"),
        ("yolact_plus_base", "yolact_plus_base"),
        ("yolact_plus_resnet50", "yolact_plus_resnet50"),
        ("yolact_plus_resnet50", "yolact_plus_resnet50_nc6"),
    ],
)
def test_official_files_are_recognised(tmp_path: Path, network: str, manifest: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(small_state(manifest), path)
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == (network, "")


def small_state(manifest: str) -> State:
    """Keys and shapes of an official file, without the counters that old ones lack."""
    return {
        key: torch.zeros(1, dtype=torch.float16).expand(shape)
        for key, shape in golden_shapes(manifest).items()
        if not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_what_old_yolact_files_hold_besides_is_left_out(tmp_path: Path, zipped: bool) -> None:
    source, target = tmp_path / "weights.pth", tmp_path / "weights.safetensors"
    state = small_state("yolact_resnet50")
    surplus = {
        "backbone.layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1),
        "fpn.downsample_layers.2.bias": torch.zeros(256),
    }
    content = {"state_dict": with_prefix(state | surplus), "iteration": 800000}
    torch.save(content, source, _use_new_zipfile_serialization=zipped)
    assert checkpoints.convert(source, target).network == "yolact_resnet50"
    converted = load_file(target)
    assert not converted.keys() & surplus.keys()
    assert {key: value.shape for key, value in converted.items() if key in state} == {
        key: value.shape for key, value in state.items()
    }
    torch.save(state | {"backbone.layers.9.bias": torch.zeros(1)}, source)
    with pytest.raises(WeightsError, match=r"1 unexpected \(such as backbone\.layers\.9"):
        checkpoints.load_network("yolact_resnet50", source)


def test_yolact_has_as_many_classes_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = small_state("yolact_darknet53_nc6")
    torch.save(state, path)
    network = checkpoints.load_network("yolact_darknet53", path)
    assert network.state_dict()["semantic_seg_conv.weight"].shape[0] == 5
    assert all(not parameter.is_meta for parameter in network.parameters())
    state["prediction_layers.0.conf_layer.bias"] = torch.zeros(21)
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"1 of another shape \(such as prediction_layers"):
        checkpoints.load_network("yolact_darknet53", path)


def test_old_files_without_counters(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with torch.device("meta"):
        shapes = checkpoints.NETWORKS["compact"]().state_dict()
    state = golden_weights({key: tuple(value.shape) for key, value in shapes.items()}, {})
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    assert_loads(path, "compact", state)


def test_counters_of_a_loaded_network_are_its_own(tmp_path: Path) -> None:
    network = checkpoints.load_network("compact", checkpoints.resolve(None, "compact"))
    counters = [b for name, b in network.named_buffers() if name.endswith("num_batches_tracked")]
    counters[0] += 1
    assert counters[0] == counters[1] + 1


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.5, 0.99])
def test_truncated(tmp_path: Path, state: State, zipped: bool, share: float) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"weights\.pth.*damaged"):
        checkpoints.load_network("mivos_fusion", path)


def test_truncated_safetensors(tmp_path: Path, state: State) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"weights\.safetensors.*damaged"):
        checkpoints.load_network("mivos_fusion", path)


def test_missing_unexpected_and_misshapen_keys_are_named(tmp_path: Path, state: State) -> None:
    path = tmp_path / "weights.safetensors"
    removed, misshapen, *_ = state
    changed = state | {"extra": torch.ones(1), misshapen: torch.ones(2)}
    del changed[removed]
    save_file(changed, path)
    found = checkpoints.identify(path)
    assert found.network == "mivos_fusion"
    assert (found.missing, found.unexpected) == ((removed,), ("extra",))
    assert found.mismatched == (misshapen,)
    with pytest.raises(WeightsError, match=r"1 missing .*1 unexpected .*1 of another shape"):
        checkpoints.load_network("mivos_fusion", path)


def test_another_known_network(tmp_path: Path, state: State) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"network mivos_fusion.*mivos_propagation are wanted"):
        checkpoints.load_network("mivos_propagation", path)


def test_another_model(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"encoder.weight": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match=r"no known network.*encoder\.weight"):
        checkpoints.identify(path)


def cycle() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    "content", [{1: torch.ones(2)}, {}, [torch.ones(2)], {"epoch": 3}, torch.ones(2), cycle()]
)
def test_no_state_dict(tmp_path: Path, content: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="no state dict"):
        checkpoints.identify(path)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_pickle_does_not_run(tmp_path: Path, state: State, zipped: bool) -> None:
    path, touched = tmp_path / "weights.pth", tmp_path / "touched"
    content: Mapping[str, object] = {"state_dict": state, "arguments": Malicious(touched)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="could run code"):
        checkpoints.identify(path)
    assert not touched.exists()


def test_conversion_keeps_tensors_and_drops_what_is_around(tmp_path: Path, state: State) -> None:
    source, target = tmp_path / "weights.pth", tmp_path / "weights.safetensors"
    torch.save({"state_dict": with_prefix(in_half(state)), "epoch": 3}, source)
    found = checkpoints.convert(source, target)
    assert (found.network, found.sha256) == ("mivos_fusion", checkpoints.sha256_of(source))
    converted = load_file(target)
    assert converted.keys() == state.keys()
    for key, value in in_half(state).items():
        torch.testing.assert_close(converted[key], value, rtol=0, atol=0)


def test_only_what_fits_is_converted(tmp_path: Path, state: State) -> None:
    source, target = tmp_path / "weights.pth", tmp_path / "weights.safetensors"
    torch.save({"extra": torch.ones(1)} | state, source)
    with pytest.raises(WeightsError, match=r"1 unexpected \(such as extra\)"):
        checkpoints.convert(source, target)
    assert not target.exists()


@pytest.mark.parametrize("entry", checkpoints.registered(), ids=lambda entry: entry.name)
def test_the_shipped_card_fits_its_weights(entry: checkpoints.WeightsEntry) -> None:
    assert entry.card["sha256"] == hashlib.sha256(entry.path.read_bytes()).hexdigest()
    found = checkpoints.identify(entry.path)
    assert found.fits
    assert found.network == entry.network == entry.name


def test_what_is_shipped() -> None:
    names = {entry.name for entry in checkpoints.registered()}
    assert {"compact", "compact_fusion"} <= names
    assert sum(entry.path.stat().st_size for entry in checkpoints.registered()) < 40e6


def test_unknown_name() -> None:
    with pytest.raises(WeightsError, match=r"'nothing'.*compact"):
        checkpoints.resolve("nothing", "compact")
