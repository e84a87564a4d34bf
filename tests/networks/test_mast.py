from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_vos.networks.mast import (
    STRIDE,
    Mast,
    MastSmall,
    Reference,
    drop_channel,
    full_size,
    grey_to_bands,
    read,
    read_labels,
    reconstruction_loss,
    reference_frames,
    rgb_to_lab,
)
from napari_vos.networks.mast.correlation import correlate
from napari_vos.networks.mast.reading import estimate_offset
from napari_vos.networks.mast.schedule import dilation_at
from napari_vos.networks.mast.windows import MovedWindows
from napari_vos.networks.memory import CHUNK_ENTRIES
from tests.golden import (
    assert_near,
    golden_arrays,
    golden_file,
    golden_shapes,
    golden_weights,
    shapes_of,
)

GAINS = {"post_convolution.weight": 4.0}
N_CLASSES = 7
LAB, FEATURES, STORED_IN_HALF, SCORES, OFFSETS = 6e-3, 1e-3, 5e-3, 2e-3, 1e-3


def empty_network() -> Mast:
    with torch.device("meta"):
        return Mast()


def golden_network() -> Mast:
    network = empty_network()
    weights = golden_weights(shapes_of(network), GAINS)
    total = sum(float(w.double().abs().sum()) for w in weights.values() if w.is_floating_point())
    expected = json.loads(golden_file("weights_check.json").read_text())["mast"]["sum_abs"]
    assert total == pytest.approx(expected, rel=1e-9)
    bias = golden_arrays("mast_bias_override")["post_convolution_bias"]
    network.load_state_dict(weights | {"post_convolution.bias": bias}, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> Mast:
    return golden_network()


def values_of(labels: Tensor) -> Tensor:
    """One-hot labels (1, 7, H/4, W/4) of a label map (H, W)."""
    return functional.one_hot(labels[::STRIDE, ::STRIDE].long(), N_CLASSES).permute(2, 0, 1)[None]


def labels_of(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return full_size(scores, size).argmax(1)[0]


def share_different(labels: Tensor, expected: Tensor) -> float:
    return float((labels != expected).float().mean())


def test_keys_and_shapes_are_those_of_the_authors_checkpoint() -> None:
    assert list(shapes_of(empty_network()).items()) == list(golden_shapes("mast").items())


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ("image_rgb_u8", "lab_float32"),
        ("odd_rgb_u8", "odd_lab"),
        ("table_rgb_u8", "table_lab_normalised"),
    ],
)
def test_colour_is_converted(rgb: str, lab: str) -> None:
    golden = golden_arrays("mast_lab_features")
    image = golden[rgb].float() / 255
    converted = rgb_to_lab(image.movedim(-1, -3))
    assert_near(converted.reshape(golden[lab].shape), golden[lab], LAB)


def test_features_of_an_image(network: Mast) -> None:
    golden = golden_arrays("mast_lab_features")
    lab = golden["lab"].float()
    assert_near(network.feature_extraction(lab), golden["feat256"], STORED_IN_HALF)
    assert_near(network(lab), golden["feat64"], FEATURES)


def test_odd_sizes_round_up(network: Mast) -> None:
    golden = golden_arrays("mast_lab_features")
    assert_near(network(golden["odd_lab"].float()), golden["odd_feat64"], FEATURES)


@pytest.mark.parametrize("size", [(1, 3), (301, 37)])
def test_features_in_bands_of_rows(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    network = MastSmall().eval()
    lab = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("napari_vos.networks.mast.features.BAND_PIXELS", 64 * size[1])
    assert_near(network.encode(lab), network(lab), 1e-5)


def test_grey_is_split_into_bands() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    wave, ground = torch.cos(2.5 * x), 0.5 + 0.2 * torch.sin(y / 30)
    inner = (slice(24, -24), slice(24, -24))
    for strength in (0.1, 0.4):  # the same contrast everywhere, whatever it is
        bands = grey_to_bands((strength * wave + ground)[None, None])[0]
        assert_near(bands[0][inner], 0.5 * 2**0.5 * wave[inner], 0.05)
        assert_near(bands[2][inner], 2 * ground[inner] - 1, 0.02)
        assert float(bands[1][inner].abs().max()) < 0.05
    faint = grey_to_bands((0.001 * wave + ground)[None, None])[0]
    assert float(faint[0][inner].abs().max()) < 0.05
    assert_near(
        grey_to_bands(torch.full((1, 1, 1, 1), 0.75)),
        torch.tensor([0, 0, 0.5]).reshape(1, 3, 1, 1),
        1e-5,
    )


@pytest.mark.parametrize("dilation", [1, 3])
def test_features_are_correlated(dilation: int) -> None:
    golden = golden_arrays("mast_correlation")
    around = functional.pad(golden["b"], [2 * dilation] * 4)
    products = correlate(golden["a"], around, radius=2, dilation=dilation)
    assert_near(products.permute(0, 3, 4, 1, 2), golden[f"p5_d{dilation}"], 1e-5)


@pytest.mark.parametrize("aligned", ["true", "false"])
def test_moved_windows_are_sampled(aligned: str) -> None:
    golden = golden_arrays("mast_deform_im2col")
    image, offset = golden["im"], golden["offset"]
    batch, depth, height, width = image.shape
    windows = MovedWindows(image, offset, offset, radius=1, corner_aligned=aligned == "true")
    one_channel = torch.eye(depth)[:, None, :, None, None].expand(-1, batch, -1, height, width)
    sampled = torch.stack([windows.affinity(each, range(height)) for each in one_channel], dim=1)
    assert_near(sampled.transpose(2, 3).flatten(1, 2), golden[f"cols_align_{aligned}"], 1e-5)


class Movie:
    """The frames of mast_read, by their number."""

    def __init__(self, network: Mast) -> None:
        self.golden = golden_arrays("mast_read")
        frames = [int(t) for t in self.golden["frame_ids"]]
        self.features = dict(zip(frames, network(self.golden["lab"].float()).split(1), strict=True))
        labels = map(values_of, self.golden["labels_u8"])
        self.values = dict(zip(frames, labels, strict=True))
        self.query = self.features[frames[-1]]
        self.t = frames[-1]

    def references(self, name: str) -> list[Reference]:
        return [
            Reference(self.features[t], self.values[t], self.t - t)
            for t in self.golden[f"{name}_refs"].tolist()
        ]


@pytest.fixture(scope="module")
def movie(network: Mast) -> Movie:
    return Movie(network)


@torch.no_grad()
def test_a_frame_is_read_from_recent_ones(movie: Movie) -> None:
    assert_near(read(movie.query, movie.references("short")), movie.golden["short_out"], SCORES)


@pytest.mark.parametrize("name", ["long1", "long2", "onlylong"])
def test_offsets_in_old_references(movie: Movie, name: str) -> None:
    for i, reference in enumerate(movie.references(name)):
        dilation = dilation_at(reference.gap)
        if dilation is not None:
            offset = estimate_offset(movie.query, reference.features, radius=12, dilation=dilation)
            assert_near(offset, movie.golden[f"{name}_offset_{i}"], OFFSETS)


@pytest.mark.parametrize("aligned", ["true", "false"])
@pytest.mark.parametrize("version", ["official", "fixed"])
@pytest.mark.parametrize("name", ["long1", "long2", "onlylong"])
@torch.no_grad()
def test_a_frame_is_read_from_old_ones(movie: Movie, name: str, version: str, aligned: str) -> None:
    scores = read(
        movie.query,
        movie.references(name),
        own_offsets=version == "fixed",
        corner_aligned=aligned == "true",
    )
    assert_near(scores, movie.golden[f"{name}_out_align_{aligned}_{version}"], SCORES)


@torch.no_grad()
def test_labels_at_full_size(movie: Movie) -> None:
    labels = labels_of(read(movie.query, movie.references("long2")), (96, 128))
    assert share_different(labels, movie.golden["long2_fixed_labels_full"][0]) <= 1e-3


@pytest.fixture(scope="module")
def tracked_features(network: Mast) -> Sequence[Tensor]:
    return network(golden_arrays("mast_loop_64x91")["lab"].float()).split(1)


# The versions differ where a reference is old: the first 16 frames are the same in all.
@pytest.mark.parametrize(
    ("version", "aligned", "start"),
    [
        ("fixed", "true", 1),
        ("fixed", "false", 16),
        ("official", "true", 16),
        ("official", "false", 16),
    ],
)
@torch.no_grad()
def test_a_movie_is_tracked(
    tracked_features: Sequence[Tensor], version: str, aligned: str, start: int
) -> None:
    golden = golden_arrays("mast_loop_64x91")
    expected = golden[f"labels_{version}_align_{aligned}"]
    labels = list(expected[:start])
    for t in range(start, len(expected)):
        references = [
            Reference(tracked_features[r], values_of(labels[r]), t - r) for r in reference_frames(t)
        ]
        scores = read(
            tracked_features[t],
            references,
            own_offsets=version == "fixed",
            corner_aligned=aligned == "true",
        )
        labels.append(labels_of(scores, (64, 91)))
        assert share_different(labels[t], expected[t]) <= 1e-3
    if start == 1:
        assert_near(scores, golden["last_prob"], SCORES)


@pytest.mark.parametrize(
    ("schedule", "long_term", "short_term"),
    [("0", (0, 5), (1, 3, 5)), ("1", (0,), (1, 3, 5)), ("2", (), (1,))],
)
def test_references_of_a_frame(
    schedule: str, long_term: Sequence[int], short_term: Sequence[int]
) -> None:
    golden = json.loads(golden_file("mast_schedule.json").read_text())["ref_schedule"][schedule]
    assert len(golden) > 10
    for t, frames in golden.items():
        assert reference_frames(int(t), long_term=long_term, short_term=short_term) == frames


def test_older_references_are_searched_wider() -> None:
    golden = json.loads(golden_file("mast_schedule.json").read_text())["dilation_rate_by_gap"]
    assert {int(gap): dilation_at(int(gap)) for gap in golden} == {
        int(gap): dilation for gap, dilation in golden.items()
    }


@pytest.mark.parametrize("channel", [1, 2])
@pytest.mark.parametrize("statistics", ["eval", "batch"])
def test_colour_is_reconstructed(statistics: str, channel: int) -> None:
    golden = golden_arrays("mast_train")
    network = golden_network().train(statistics == "batch")
    frames = torch.stack([golden["frame0"], golden["frame1"]]).float()
    shown, hidden = drop_channel(frames, channel)
    earlier, query = (network(frame) for frame in shown)
    values = hidden[0, :, :, ::STRIDE, ::STRIDE]
    reconstructed = read(query, [Reference(earlier, values, 1)], radius=6)
    assert_near(reconstructed, golden[f"ch{channel}_{statistics}_out"], SCORES)
    loss = reconstruction_loss(reconstructed, hidden[1])
    assert float(loss) == pytest.approx(float(golden[f"ch{channel}_{statistics}_loss"]), rel=1e-4)


@pytest.mark.parametrize("version", ["official", "fixed"])
@torch.no_grad()
def test_labels_are_read_as_their_one_hot_values(movie: Movie, version: str) -> None:
    references = [
        reference._replace(values=1 + reference.values.argmax(dim=1, keepdim=True))
        for reference in movie.references("long2")
    ]
    bands = read_labels(movie.query, references, N_CLASSES, own_offsets=version == "fixed")
    scores = torch.cat([scores for _, scores in bands], dim=1)[None]
    assert_near(scores, movie.golden[f"long2_out_align_true_{version}"], SCORES)


@torch.no_grad()
def test_what_is_no_label_takes_weight_and_gets_no_score() -> None:
    query, references = random_movie((21, 10), [20, 1])
    labels = torch.randint(0, 4, (1, 1, 21, 10), generator=torch.Generator().manual_seed(1))
    one_hot = functional.one_hot(labels[0, 0], 4).permute(2, 0, 1)[None]
    few = [Reference(each.features[:1], labels, each.gap) for each in references]
    expected = read(query[:1], [each._replace(values=one_hot) for each in few], radius=3)
    bands = list(read_labels(query[:1], few, 3, radius=3))
    assert [rows.stop for rows, _ in bands][-1] == 21
    assert_near(torch.cat([scores for _, scores in bands], dim=1), expected[0, 1:], 1e-5)


@torch.no_grad()
def test_the_strongest_and_nearest_candidates_count() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn((1, 8, 6, 7), generator=random)
    labels = torch.randint(1, 4, (1, 1, 6, 7), generator=random)
    reference = Reference(features, labels, 1)

    def scores(**settings: float) -> Tensor:
        bands = read_labels(9 * features, [reference] * 2, 3, radius=2, **settings)  # type: ignore[arg-type]
        return torch.cat([scores for _, scores in bands], dim=1)

    exact = functional.one_hot(labels[0, 0] - 1, 3).permute(2, 0, 1).float()
    assert float((scores() - exact).abs().max()) > 0.1
    assert_near(scores(nearness=1e3), exact, 1e-5)
    best = (9 * features[0].pow(2).sum(0) > 0).expand(3, -1, -1)  # every feature is like itself
    few = scores(top_k=2)
    assert_near(few.sum(dim=0), torch.ones(6, 7), 1e-5)
    assert float((few - exact)[best].abs().mean()) <= float((scores() - exact).abs().mean())


@torch.no_grad()
def test_labels_that_share_a_position_are_read_by_their_shares() -> None:
    features = torch.randn((1, 8, 3, 4), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 2])[:, None, None].expand(1, 2, 3, 4)
    shares = torch.tensor([0.75, 0.25])[:, None, None].expand(1, 2, 3, 4)
    ((_, scores),) = read_labels(
        features, [Reference(features, labels, 1, shares)], 2, nearness=1e3
    )
    assert_near(scores[:, 1, 2], torch.tensor([0.75, 0.25]), 1e-5)


def random_movie(size: tuple[int, int], gaps: Sequence[int]) -> tuple[Tensor, list[Reference]]:
    random = torch.Generator().manual_seed(0)

    def draw(channels: int) -> Tensor:
        return torch.randn((2, channels, *size), generator=random)

    return draw(4), [Reference(draw(4), draw(3), gap) for gap in gaps]


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (21, 10)])
def test_bands_change_nothing(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    query, references = random_movie(size, [70, 20, 1])
    whole = read(query, references, radius=3)
    monkeypatch.setattr("napari_vos.networks.mast.reading.CHUNK_ENTRIES", 1)
    in_bands = read(query, references, radius=3)
    assert in_bands.shape == (2, 3, *size)
    assert_near(in_bands, whole, 1e-5)


def test_an_old_reference_is_found_where_it_moved_to() -> None:
    random = torch.Generator().manual_seed(0)
    features = 4 * torch.randn((1, 64, 20, 60), generator=random)
    values = torch.rand((1, 1, 20, 60), generator=random)
    moved = features.roll(8, dims=3)
    scores = read(moved, [Reference(features, values, 20)], radius=4)
    assert_near(scores[..., 12:-8], values.roll(8, dims=3)[..., 12:-8], 1e-3)


def test_gradients_reach_the_features_of_all_frames() -> None:
    query, references = random_movie((5, 6), [20, 1])
    features = [query, *(reference.features for reference in references)]
    for each in features:
        each.requires_grad_()
    read(query, references, radius=2).square().sum().backward()
    assert all(each.grad is not None and float(each.grad.abs().max()) > 1e-3 for each in features)


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are made, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, name: int, n_bytes: int) -> None:
        self._known.remove(name)
        self.now -= n_bytes


@torch.no_grad()
def test_reading_a_large_frame_takes_bounded_memory() -> None:
    # As a frame of 2048 x 2048 with features 2 pixels apart; nothing is computed on "meta".
    features = torch.empty((1, 32, 1024, 1024), device="meta")
    labels = torch.empty((1, 3, 1024, 1024), dtype=torch.int64, device="meta")
    shares = torch.empty((1, 3, 1024, 1024), device="meta")
    references = [Reference(features, labels, gap, shares) for gap in (60, 20, 5, 3, 1)]
    with Held() as held:
        next(read_labels(features, references, 301, radius=6, top_k=16, nearness=0.05))
    tables = len(references) * (features.nbytes + labels.nbytes + shares.nbytes)
    assert tables < held.peak < 2 * tables + 16 * CHUNK_ENTRIES < 2e9
