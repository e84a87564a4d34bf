from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_vos.store import versions as module
from napari_vos.store.cache import ByteCache
from napari_vos.store.evidence import Box, EndReason, ObjectEvidence, Source
from napari_vos.store.record import Event, FrameRecord
from napari_vos.store.versions import VersionStore


@pytest.fixture
def record():
    rng = np.random.default_rng(0)

    def item(object_id, box, source):
        window = rng.random(box.shape).astype(np.float16)
        return ObjectEvidence(object_id, box, window, 0.1 + object_id / 1e6, source)

    objects = {
        65535: replace(
            item(65535, Box(0, 0, 3, 4), Source.PROPAGATED),
            border=rng.random(5).astype(np.float16),
        ),
        2: item(2, Box(1, 1, 1, 1), Source.USER),
        3: item(3, Box(2, 3, 9, 5), Source.PROPAGATED),
    }
    events = (Event(7, 5, EndReason.LEFT, -1), Event(7, 6, EndReason.DIVIDED, 1, (2, 3)))
    return FrameRecord(rng.integers(0, 65535, (10, 8)).astype(np.uint16), objects, events)


@pytest.mark.parametrize("reopened", [False, True])
def test_a_record_comes_back_bit_for_bit(tmp_path, record, reopened):
    store = VersionStore(tmp_path)
    name = store.write(7, record)
    if reopened:
        store = VersionStore(tmp_path)
    assert store.labels(name).tobytes() == record.labels.tobytes()
    assert store.labels(name).dtype == np.uint16
    objects = store.objects(name)
    assert list(objects) == [2, 3, 65535]
    for object_id, item in record.objects.items():
        found = objects[object_id]
        assert (found.box, found.confidence, found.source) == (
            item.box,
            item.confidence,
            item.source,
        )
        assert found.probability.dtype == np.float16
        assert found.probability.shape == item.box.shape
        assert found.probability.tobytes() == item.probability.tobytes()
        assert not found.probability.flags.writeable
        np.testing.assert_array_equal(found.border, item.border)
    assert store.index(name).events == record.events
    assert store.index(name).entries[3].confidence == record.objects[3].confidence


def test_an_empty_record_comes_back(tmp_path):
    store = VersionStore(tmp_path)
    name = store.write(0, FrameRecord(np.zeros((4, 5), np.uint16)))
    store = VersionStore(tmp_path)
    assert store.objects(name) == {}
    assert store.index(name).events == ()


def test_versions_never_overwrite_each_other(tmp_path, record):
    store = VersionStore(tmp_path)
    first, second = store.write(7, record), store.write(7, record)
    store.delete([first])
    third = VersionStore(tmp_path).write(7, record)
    assert len({first, second, third}) == 3
    assert VersionStore(tmp_path).names == {second, third}


def test_sizes_are_those_on_disk(tmp_path, record):
    store = VersionStore(tmp_path)
    names = [store.write(7, record), store.write(8, record)]
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert store.size(names) == total == VersionStore(tmp_path).size([*names, "000001-000009"])


def test_memory_stays_within_its_budget(tmp_path, record, monkeypatch):
    monkeypatch.setattr(module, "_OBJECTS_BYTES", 3 * 62)
    store = VersionStore(tmp_path)
    names = [store.write(t, record) for t in range(10)]
    reads = []
    real = module.read_arrays
    monkeypatch.setattr(
        module, "read_arrays", lambda path, p: reads.append(path.stem) or real(path, p)
    )
    for name in names[-3:]:
        store.objects(name)
    assert not reads
    assert store.objects(names[0])[3].probability.tobytes() == (
        record.objects[3].probability.tobytes()
    )
    assert reads == [names[0]]


def test_the_cache_drops_what_was_not_used_for_longest():
    cache: ByteCache[str] = ByteCache(10)
    cache.put("a", "A", 4)
    cache.put("b", "B", 4)
    assert cache.get("a") == "A"
    cache.put("c", "C", 4)
    assert [cache.get(name) for name in "abc"] == ["A", None, "C"]
    cache.put("d", "D", 100)
    assert [cache.get(name) for name in "acd"] == [None, None, "D"]
    cache.drop("d")
    cache.put("e", "E", 10)
    assert cache.get("e") == "E"
