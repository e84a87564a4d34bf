"""What was published as an option and is in none of the published models."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from napari_vos.networks.yolact import CELLS, DESIGNS, Design, Prediction, Yolact
from napari_vos.networks.yolact.boxes import confine, decode, to_centred
from napari_vos.networks.yolact.pyramid import FeaturePyramid

N_POSITIONS = 16**2 + 8**2 + 4**2 + 2**2 + 1


def network(**options: object) -> Yolact:
    torch.manual_seed(0)
    design: Design = replace(CELLS, **options)  # type: ignore[arg-type]
    return Yolact(design, n_classes=3).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))


def test_a_design_goes_along_as_text() -> None:
    for design in (CELLS, *DESIGNS.values(), replace(CELLS, mask_activation="tanh")):
        assert Design.from_json(design.to_json()) == design


def test_without_options_there_is_nothing_more(images: Tensor) -> None:
    with torch.no_grad():
        predicted: Prediction = network()(images)
    assert predicted.existence_logits is None
    assert predicted.instance_codes is None


@torch.no_grad()
def test_a_constant_prototype_is_a_bias(images: Tensor) -> None:
    predicted = network(adds_constant=True)(images)
    assert predicted.prototypes.shape == (2, 32, 32, 33)
    assert (predicted.prototypes[..., 32] == 1).all()
    assert predicted.coefficients.shape == (2, 6 * N_POSITIONS, 33)


@torch.no_grad()
@pytest.mark.parametrize("more", [{}, {"adds_constant": True, "prototypes_as_features": "fixed"}])
def test_masks_without_prototypes(images: Tensor, more: dict[str, object]) -> None:
    direct = network(direct_masks=5, **more)
    assert not any(key.startswith("proto_net") for key in direct.state_dict())
    predicted = direct(images)
    assert predicted.coefficients.shape == (2, 6 * N_POSITIONS, 25)
    assert 0 < predicted.coefficients.min() < predicted.coefficients.max() < 1
    assert predicted.prototypes.numel() == 0


@torch.no_grad()
def test_heads_of_their_own(images: Tensor) -> None:
    several = network(shares_head=False)
    assert len(several.prediction_layers) == 5
    predicted = several(images)
    several.prediction_layers[0].conf_layer.bias += 1
    other = several(images)
    first = 6 * 16**2
    torch.testing.assert_close(other.class_logits[:, :first], predicted.class_logits[:, :first] + 1)
    assert torch.equal(other.class_logits[:, first:], predicted.class_logits[:, first:])


def test_prototypes_can_be_seen_by_the_heads(images: Tensor) -> None:
    for how, learns in (("fixed", False), ("learned", True)):
        seeing = network(prototypes_as_features=how)
        predicted = seeing(images)
        (gradient,) = torch.autograd.grad(
            predicted.class_logits.sum(), seeing.proto_net[0].weight, allow_unused=True
        )
        assert (gradient is not None) == learns
        with torch.no_grad():
            seeing.proto_net[-2].bias += 1
            assert not torch.equal(seeing(images).class_logits, predicted.class_logits)


@torch.no_grad()
def test_prototypes_can_be_made_of_places() -> None:
    seeing = network(sees_places=True)
    assert seeing.proto_net[0].in_channels == 64 + 2
    weight = seeing.proto_net[0].weight
    weight.zero_()
    weight[0, 64, 1, 1], weight[1, 65, 1, 1] = 1, 1
    seeing.proto_net[0].bias.zero_()
    kept: list[Tensor] = []
    seeing.proto_net[0].register_forward_hook(lambda _module, _inputs, out: kept.append(out))
    seeing(torch.zeros(1, 3, 16, 16))
    rows, columns = kept[0][0, 0], kept[0][0, 1]
    torch.testing.assert_close(rows[:, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    torch.testing.assert_close(columns[0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))


@torch.no_grad()
def test_existence_and_codes(images: Tensor) -> None:
    predicted = network(predicts_existence=True, instance_codes=7)(images)
    assert predicted.existence_logits.shape == (2, 2)
    assert predicted.instance_codes.shape == (2, 6 * N_POSITIONS, 7)


@torch.no_grad()
def test_confined_boxes_stay_at_their_positions(images: Tensor) -> None:
    confined = network(confines_boxes=True)
    head = confined.prediction_layers[0]
    head.bbox_layer.weight.zero_()
    head.bbox_layer.bias.zero_()
    priors = confined(images).priors
    still = decode(confined(images).boxes, priors)
    torch.testing.assert_close(to_centred(still)[0], priors)
    head.bbox_layer.bias.view(-1, 4)[:, :2] = 20
    moved = to_centred(decode(confined(images).boxes, priors)[0])
    shift = moved[:, :2] - priors[:, :2]
    torch.testing.assert_close(shift[0], torch.tensor([0.5 / 16, 0.5 / 16]))
    torch.testing.assert_close(shift[-1], torch.tensor([0.5, 0.5]))


def test_confined_codes_by_hand() -> None:
    priors = torch.tensor([[0.25, 0.75, 0.2, 0.4]], dtype=torch.float64)
    steps = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
    raw = torch.tensor([[0, torch.inf, 0, torch.log(torch.tensor(2.0))]], dtype=torch.float64)
    box = to_centred(decode(confine(raw, priors, steps), priors))[0]
    assert box.tolist() == pytest.approx([0.25, 0.75 + 0.125, 0.2, 0.8])
    leaf = torch.randn((1, 4), dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: confine(x, priors, steps), leaf)


def test_coarse_levels_can_be_repeated() -> None:
    features = [torch.randn(1, 2, side, side) for side in (8, 4, 2)]
    torch.manual_seed(0)
    smooth = FeaturePyramid((2, 2, 2), 3)
    torch.manual_seed(0)
    repeated = FeaturePyramid((2, 2, 2), 3, "nearest")
    assert not torch.equal(smooth(features)[0], repeated(features)[0])
    torch.testing.assert_close(smooth(features)[2], repeated(features)[2])
