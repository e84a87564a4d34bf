from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np


def test_the_peak_is_that_of_the_process_alone():
    cost = importlib.import_module("cost")
    held = np.ones(100_000_000, np.uint8)
    before = cost.peak_bytes()
    assert before > held.nbytes
    code = "import cost; print(cost.peak_bytes())"
    folder = cost.__file__.rpartition("cost.py")[0]
    child = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert 1e6 < int(child.stdout) < held.nbytes
    more = np.ones(2 * before, np.uint8)
    assert cost.peak_bytes() > more.nbytes
