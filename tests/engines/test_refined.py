from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, Session
from napari_vos.configs import CompactConfig, MastConfig, RefinementConfig
from napari_vos.engines import create_propagator
from napari_vos.engines.base import Estimate, Span
from napari_vos.engines.reduced import ReducedReader, enlarge_evidence, reduce_evidence
from napari_vos.engines.refined import RefinedPropagator
from napari_vos.engines.refinement import MaskRefiner
from napari_vos.errors import NapariVosError, WeightsError
from napari_vos.frames.reduced import reduce_frames
from napari_vos.metrics import region_similarity
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.session.merge import labels_of, user_evidence
from napari_vos.store.evidence import Box, FrameEvidence, ObjectEvidence, Source

SHAPE = (70, 99)


class SeesBright(RefinementNetwork):
    """A network that has learnt that objects are bright: its logit is the image itself."""

    def __init__(self):
        super().__init__((4, 4, 4))

    def encode(self, image, layout):
        quarter = torch.nn.functional.avg_pool2d(image, 4)
        return image, torch.nn.functional.avg_pool2d(image, 2), quarter

    def forward(self, known, fine):
        return 20 * fine[:, :1]


@dataclass
class StillEngine:
    """An engine that finds every object where it was on the frame before."""

    plan: dict

    def estimate(self, spans):
        return Estimate(100, 1.0, sum(len(span.object_ids) for span in spans))

    def propagate(self, span, evidence):
        for t in span.frames:
            before = evidence.read(t - span.direction).objects
            objects = {
                i: replace(before[i], source=Source.PROPAGATED, confidence=0.5)
                for i in span.object_ids
            }
            yield FrameEvidence(t, objects)

    def spacing(self, span):
        return 4


class Reader:
    """A store in memory."""

    def __init__(self, frames):
        self.frames = frames

    def read(self, t):
        return self.frames[t]

    before = uncorrected = read

    def state(self, t, span):
        return {"t": np.array(t)}


def disk(center, radius, shape=SHAPE):
    rows, columns = np.indices(shape)
    return np.hypot(rows - center[0], columns - center[1]) < radius


def blocky(mask, factor):
    ends = [(0, -side % factor) for side in mask.shape]
    cells = np.pad(mask, ends, mode="edge").astype(float)
    small = cells.reshape(cells.shape[0] // factor, factor, -1, factor).mean((1, 3)) > 0.5
    return np.kron(small, np.ones((factor, factor)))[: mask.shape[0], : mask.shape[1]] > 0


@pytest.fixture
def truth():
    labels = np.zeros(SHAPE, np.uint16)
    labels[disk((35, 38), 22)] = 3
    labels[disk((50, 95), 12)] = 70
    return labels


@pytest.fixture
def refined_engine(truth):
    """Return an engine that refines what `StillEngine` finds on images of the truth."""

    def make(engine, scale=1):
        images = np.stack([1000 * (truth > 0).astype(np.uint16)] * 3)
        frames = FrameStack(images, axes="TYX")
        refiner = MaskRefiner(
            frames, RefinementConfig(), SeesBright().eval(), torch.device("cpu"), plan={}
        )
        plan = {"engine": engine, "device": "cpu", "config": {}}
        return RefinedPropagator(StillEngine(plan), refiner, scale, plan)

    return make


def run(engine, given, ids, others=()):
    """Propagate by one frame from masks the user has given; `others` are there on it."""
    store = {
        0: FrameEvidence(0, user_evidence(given)),
        1: FrameEvidence(1, {item.object_id: item for item in others}),
    }
    span = Span(start=0, end=1, object_ids=ids, references=(0,), object_side=44)
    (found,) = engine.propagate(span, Reader(store))
    return found


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_borders_are_found_again_at_any_scale(truth, refined_engine, scale):
    coarse = min(8, 4 * scale)
    given = sum(np.where(blocky(truth == i, coarse), i, 0) for i in (3, 70))
    found = run(refined_engine("mast", scale), given.astype(np.uint16), (3, 70))
    assert list(found.objects) == [3, 70]
    labels = labels_of(found.objects.values(), SHAPE)
    for object_id in (3, 70):
        before = region_similarity(given == object_id, truth == object_id)
        after = region_similarity(labels == object_id, truth == object_id)
        assert after > max(0.97, before)
    assert {item.confidence for item in found.objects.values()} == {0.5}


def test_what_is_not_propagated_stays(truth, refined_engine):
    given = np.where(blocky(truth == 3, 8), 3, 0).astype(np.uint16)
    painted = blocky(truth == 70, 8)
    (user,) = user_evidence(70 * painted.astype(np.uint16)).values()
    found = run(refined_engine("mast"), given, (3,), [user])
    assert list(found.objects) == [3]
    labels = labels_of([*found.objects.values(), user], SHAPE)
    np.testing.assert_array_equal(labels == 70, painted)


def test_windows_of_their_own_scale_need_no_refinement(truth, refined_engine):
    given = sum(np.where(blocky(truth == i, 4), i, 0) for i in (3, 70)).astype(np.uint16)
    found = run(refined_engine("compact"), given, (3, 70))
    for object_id, item in user_evidence(given).items():
        np.testing.assert_array_equal(found.objects[object_id].probability, item.probability)


@pytest.mark.parametrize(
    ("side", "factor"), [(50, 1), (90, 1), (91, 2), (150, 2), (190, 4), (900, 8)]
)
def test_objects_are_refined_from_the_scale_of_their_window(refined_engine, side, factor):
    box = Box(0, 0, side // 2, side)
    item = ObjectEvidence(1, box, np.zeros(box.shape, np.float16), 1.0, Source.PROPAGATED)
    span = Span(start=0, end=1, object_ids=(1,), references=(0,))
    assert refined_engine("compact").factor(span, item) == factor
    assert refined_engine("mast", 1).factor(span, item) == 4
    assert refined_engine("mast", 4).factor(span, item) == 8


def test_an_estimate_says_what_borders_take(refined_engine):
    def span(side):
        return Span(start=0, end=2, object_ids=(1,), references=(0,), object_side=side)

    small, large = (refined_engine("compact").estimate([span(side)]) for side in (20, 200))
    assert small.seconds == 1.0
    assert large.seconds > 1.0
    assert large.memory > 100
    assert large.object_frames == 1


def test_evidence_at_reduced_scale_comes_back(truth):
    for item in user_evidence(truth).values():
        small = reduce_evidence(item, SHAPE, 4)
        again = enlarge_evidence(small, SHAPE, 4)
        mask = np.zeros(SHAPE, bool)
        mask[again.box.slices] = again.probability > 0.5
        assert region_similarity(mask, truth == item.object_id) > 0.93
    reader = ReducedReader(Reader({0: FrameEvidence(0, user_evidence(truth))}), SHAPE, 4)
    for read in (reader.read, reader.before, reader.uncorrected):
        assert set(read(0).objects) == {3, 70}
    span = Span(start=0, end=1, object_ids=(3,), references=(0,))
    assert reader.state(1, span)["t"] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_frames_at_reduced_scale(dtype):
    images = np.random.default_rng(0).integers(0, 255, (3, 2, 9, 14)).astype(dtype)
    reduced = reduce_frames(FrameStack(images, axes="TCYX", channels=[1], name="phase"), 4)
    assert (reduced.n_frames, reduced.shape, reduced.n_channels) == (3, (3, 4), 2)
    assert (reduced.dtype, reduced.name, reduced.channels) == (np.dtype(dtype), "phase", (1,))
    frame = reduced.read(1)
    assert frame[1, 0, 0] == pytest.approx(images[1, 1, :4, :4].mean(), abs=0.5)
    # Beyond the frame its last pixels are repeated.
    assert frame[0, 2, 0] == pytest.approx(images[1, 0, 8, :4].mean(), abs=0.5)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights for refinement that were never trained, as if they came with the package."""
    from napari_vos import checkpoints

    torch.manual_seed(0)
    network = RefinementNetwork()
    torch.nn.init.ones_(network.head.predictor.bias)  # objects grow a little
    path = tmp_path / "refinement.safetensors"
    save_file(network.state_dict(), path)
    shipped = [each for each in checkpoints.registered() if each.name != "refinement"]
    own = checkpoints.WeightsEntry("refinement", "refinement", path, {})
    monkeypatch.setattr(checkpoints, "registered", lambda: (*shipped, own))
    return path


@pytest.fixture
def movie():
    """A disk of 100 pixels, clearly larger than its window, that moves to the right."""
    shape = (120, 150)
    labels = np.stack([disk((60, 60 + 2 * t), 50, shape) for t in range(4)]).astype(np.uint16)
    noise = np.random.default_rng(0).normal(0, 20, labels.shape)
    return (500 + 1000 * labels + noise).astype(np.uint16), labels


def test_a_session_refines_resumes_and_replays(weights, movie, tmp_path):
    images, labels = movie
    frames = FrameStack(images, axes="TYX")
    config = CompactConfig(refine="full")
    results = {}
    for name, settings in (("plain", None), ("refined", config), ("stopped", config)):
        with Session(frames, config=settings, folder=tmp_path / name) as session:
            session.add_mask(0, labels[0])
            rounds = session.propagate()
            next(rounds)
            rounds.close()
            if name == "stopped":
                continue
            session.run()
            results[name] = np.asarray(session.labels[:])
            np.testing.assert_array_equal(results[name][0], labels[0])
            if name == "refined":
                assert session.replay().identical
    assert all(set(np.unique(frame)) == {0, 1} for frame in results["refined"])
    assert (results["plain"] != results["refined"]).any()
    with Session.load(tmp_path / "stopped", frames) as session:
        list(session.resume())
        np.testing.assert_array_equal(session.labels[:], results["refined"])


def test_a_plan_is_repeated_with_its_weights_alone(weights, movie):
    frames = FrameStack(movie[0], axes="TYX")
    engine = create_propagator("compact", frames, config=CompactConfig(refine="full"))
    assert engine.plan["config"]["refine"] == "full"
    again = create_propagator("compact", frames, plan=engine.plan)
    assert again.plan == engine.plan
    save_file(RefinementNetwork().state_dict(), weights)
    with pytest.raises(WeightsError, match="refinement weights"):
        create_propagator("compact", frames, plan=engine.plan)


def test_scales_are_those_of_the_engine():
    with pytest.raises(NapariVosError, match="refine is 'half'; expected one of no, full"):
        CompactConfig(refine="half")
    assert MastConfig(refine="quarter").refine == "quarter"
