from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from napari_vos.errors import StoreError
from napari_vos.store import files
from napari_vos.store.files import read_arrays, write_arrays, write_file


def test_arrays_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "half": rng.random((5, 7)).astype(np.float16),
        "empty": np.empty((0, 4), np.int32),
        "scalar": np.array(3),
        "wide": rng.integers(0, 65535, (3, 2, 4)).astype(np.uint16),
    }
    size = write_arrays(tmp_path / "a.npz", arrays)
    assert size == (tmp_path / "a.npz").stat().st_size
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


def test_a_prefix_reads_a_part(tmp_path):
    write_arrays(tmp_path / "a.npz", {"index_a": np.zeros(1), "labels": np.zeros(1)})
    assert set(read_arrays(tmp_path / "a.npz", "index")) == {"index_a"}


def test_numpy_can_read_it_alone(tmp_path):
    write_arrays(tmp_path / "a.npz", {"labels": np.arange(6)})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["labels"].tolist() == list(range(6))


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        write_arrays(tmp_path / "a.npz", {"a": np.array([{}], object)})


@pytest.mark.parametrize("write", [lambda p: write_file(p, b"new"), lambda p: write_arrays(p, {})])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, write):
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match=r"Can't write '.*a\.npz': No space left.*Free some space"):
        write(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.npz"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"Can't read '.*gone\.npz': No such file"):
        read_arrays(tmp_path / "gone.npz")


@pytest.mark.parametrize("length", [0, 10, 60, -10])
def test_a_truncated_file_is_damaged(tmp_path, length):
    path = tmp_path / "a.npz"
    write_arrays(path, {"labels": np.random.default_rng(0).random(100)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StoreError, match="is damaged"):
        read_arrays(path)


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, {"labels": np.random.default_rng(0).random(1000)})
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="is damaged"):
        read_arrays(path)
