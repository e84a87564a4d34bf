import pytest
import torch

from napari_vos.networks.compact import CompactNetwork


@pytest.fixture
def network() -> CompactNetwork:
    torch.manual_seed(0)
    return CompactNetwork((8, 12, 16), key_depth=6, value_depth=10, decoded=(4, 8, 12)).eval()


def inputs(batch: int, size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, c, size, size, generator=generator) for c in (4, 4, 1, 1)]


@torch.no_grad()
def predict(network: CompactNetwork, batch: list[torch.Tensor]) -> list[torch.Tensor]:
    _, previous, mask, others = batch
    return list(network(*batch, *network.memorize(previous, mask, others)))


@torch.no_grad()
def test_what_is_remembered_has_one_column_per_position_at_stride_4(
    network: CompactNetwork,
) -> None:
    _, image, mask, others = inputs(2, 32)
    key, value = network.memorize(image, mask, others)
    assert key.shape == (2, 9, 64)
    assert value.shape == (2, 10, 64)


def test_a_prediction_has_the_size_of_the_window(network: CompactNetwork) -> None:
    mask, presence, quality = predict(network, inputs(3, 40))
    assert mask.shape == (3, 1, 40, 40)
    assert presence.shape == quality.shape == (3,)


def test_windows_do_not_see_each_other(network: CompactNetwork) -> None:
    batch = inputs(3, 32)
    together = predict(network, batch)
    for i in range(3):
        alone = predict(network, [part[i : i + 1] for part in batch])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i], atol=1e-4, rtol=1e-4)


def test_the_neighbours_mask_changes_the_prediction(network: CompactNetwork) -> None:
    batch = inputs(1, 32)
    without = predict(network, [*batch[:3], torch.zeros(1, 1, 32, 32)])
    assert not torch.allclose(predict(network, batch)[0], without[0])


@pytest.mark.parametrize("size", [20, 30, 33])
def test_a_side_that_is_no_multiple_of_8_is_refused(network: CompactNetwork, size: int) -> None:
    image, previous, mask, others = inputs(1, size)
    memory = torch.zeros(1, 9, 16), torch.zeros(1, 10, 16)
    with pytest.raises(ValueError, match="multiples of 8"):
        network(image, previous, mask, others, *memory)


@torch.no_grad()
def test_the_long_and_the_short_past_are_both_read(network: CompactNetwork) -> None:
    image, previous, mask, others = inputs(1, 32)
    key, value = network.memorize(previous, mask, others)
    found = network(image, previous, mask, others, key, value).mask_logits
    longer = network(image, previous, mask, others, key, value.flip(2)).mask_logits
    shorter = network(image, previous, mask.flip(3), others, key, value).mask_logits
    assert not torch.allclose(longer, found)
    assert not torch.allclose(shorter, found)


@torch.no_grad()
def test_what_lies_nearer_is_read_more(network: CompactNetwork) -> None:
    for head in (network.key, network.key_context):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    image, previous, mask, others = inputs(1, 32)
    key, value = network.memorize(previous, mask, others)
    line = torch.linspace(-1, 1, 8)
    places = torch.cartesian_prod(line, line)
    weight = torch.softmax(-network.nearness[0] * torch.cdist(places, places) ** 2, dim=1)
    read = network._read(network.look(image).key, key, value, network.nearness[0])
    torch.testing.assert_close(read.flatten(2)[0], value[0] @ weight.T, atol=1e-4, rtol=1e-4)
