from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from napari_vos.networks.memory import read_memory
from napari_vos.networks.mivos import (
    PropagationNetwork,
    Query,
    attend_differences,
    sum_of_others,
)
from tests.golden import (
    assert_near,
    fill,
    golden_arrays,
    golden_file,
    golden_shapes,
    normalized,
    shapes_of,
)

FEATURES, STORED_IN_HALF, READOUT, PROBABILITY = 1e-3, 5e-3, 5e-3, 2e-4


def empty_network() -> PropagationNetwork:
    with torch.device("meta"):
        return PropagationNetwork()


def test_keys_and_shapes_are_those_of_the_authors_checkpoints() -> None:
    assert list(shapes_of(empty_network()).items()) == list(golden_shapes("mivos_prop").items())


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return golden_arrays("mivos_prop")


@pytest.fixture(scope="module")
def frames(golden: dict[str, Tensor]) -> Tensor:
    return normalized(golden["frames_u8"])


@pytest.fixture(scope="module")
def network(golden: dict[str, Tensor]) -> PropagationNetwork:
    network = empty_network()
    weights = fill(network, "mivos_prop")
    total = sum(float(w.double().abs().sum()) for w in weights.values() if w.is_floating_point())
    expected = json.loads(golden_file("weights_check.json").read_text())["mivos_prop"]["sum_abs"]
    assert total == pytest.approx(expected, rel=1e-9)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def query(network: PropagationNetwork, frames: Tensor) -> Query:
    return network.encode(frames[3:])


def test_features_of_an_image(
    network: PropagationNetwork, frames: Tensor, golden: dict[str, Tensor]
) -> None:
    quarter, eighth, sixteenth = network.rgb_encoder(frames[3:])
    assert_near(quarter, golden["query_f4"], STORED_IN_HALF)
    assert_near(eighth, golden["query_f8"], FEATURES)
    assert_near(sixteenth, golden["query_f16"], FEATURES)


def test_key_and_value_of_a_query(query: Query, golden: dict[str, Tensor]) -> None:
    assert_near(query.key, golden["query_key"], FEATURES)
    assert_near(query.value, golden["query_value"], FEATURES)


def test_one_object_is_memorized(
    network: PropagationNetwork, frames: Tensor, golden: dict[str, Tensor]
) -> None:
    mask = golden["masks"][0, :1]
    key, value = network.memorize(frames[:1], mask, torch.zeros_like(mask))
    assert_near(key, golden["mem_key_k1"].flatten(2), FEATURES)
    assert_near(value, golden["mem_value_k1"].flatten(2), FEATURES)


def test_three_objects_are_memorized_in_three_frames(
    network: PropagationNetwork, frames: Tensor, golden: dict[str, Tensor]
) -> None:
    remembered = [
        network.memorize(frames[t : t + 1], masks, sum_of_others(masks))
        for t, masks in enumerate(golden["masks"])
    ]
    key, value = (torch.cat(parts, dim=2) for parts in zip(*remembered, strict=True))
    assert_near(key, golden["mem_key_k3_T3"].flatten(2), FEATURES)
    assert_near(value, golden["mem_value_k3_T3"].flatten(2), FEATURES)


@pytest.mark.parametrize("top_k", [50, 20])
def test_memory_is_read(query: Query, golden: dict[str, Tensor], top_k: int) -> None:
    readout = read_memory(
        golden["mem_key_k3_T3"].flatten(2),
        golden["mem_value_k3_T3"].flatten(2),
        golden["query_key"].flatten(2).expand(3, -1, -1),
        top_k=top_k,
    )
    assert_near(readout, golden[f"readout_k3_T3_top{top_k}"].flatten(2), READOUT)


# The memory is the golden one: two positions of equal affinity may swap the last place of the
# best k when keys differ in the sixth digit.
@pytest.mark.parametrize("top_k", [50, 20])
@pytest.mark.parametrize(
    ("name", "memory", "n_frames"),
    [("k1_T1", "k1", 1), ("k3_T1", "k3_T3", 1), ("k3_T3", "k3_T3", 3)],
)
def test_objects_are_found(
    network: PropagationNetwork,
    query: Query,
    golden: dict[str, Tensor],
    name: str,
    memory: str,
    n_frames: int,
    top_k: int,
) -> None:
    logits = network(
        query._replace(key=golden["query_key"]),
        golden[f"mem_key_{memory}"][:, :, :n_frames].flatten(2),
        golden[f"mem_value_{memory}"][:, :, :n_frames].flatten(2),
        top_k=top_k,
    )
    assert_near(logits.sigmoid(), golden[f"seg_{name}_top{top_k}"], PROBABILITY)


def test_differences_are_attended_to(query: Query, golden: dict[str, Tensor]) -> None:
    attention = attend_differences(
        golden["mem_key_k3_T3"][:, :, 0].flatten(2),
        query,
        torch.cat([golden["attn_pos"], golden["attn_neg"]], dim=1),
    )
    assert_near(attention, golden["attn_k3"], PROBABILITY)


def test_one_object_has_no_others() -> None:
    assert not sum_of_others(torch.rand(1, 1, 4, 4)).any()


@pytest.mark.parametrize("size", [(16, 24), (8, 16), (33, 32)])
def test_a_side_that_is_no_multiple_of_16_is_refused(size: tuple[int, int]) -> None:
    network, image = empty_network(), torch.empty(1, 3, *size, device="meta")
    with pytest.raises(ValueError, match="multiples of 16"):
        network.encode(image)
    with pytest.raises(ValueError, match="multiples of 16"):
        network.memorize(image, image[:, :1], image[:, :1])
