from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vos.cli import app

SHAPE = (24, 40)
N_FRAMES = 8


@pytest.fixture
def run():
    """Call the program; returns exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(
            app, [str(argument) for argument in arguments], prog_name="napari-vos"
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def run_json(run):
    """Call the program with --json; returns what it prints."""

    def run_json(*arguments: object) -> Any:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run_json


@pytest.fixture
def fails(run):
    """Call the program, which must end with one line and exit code 2; returns the line."""

    def fails(*arguments: object) -> str:
        code, out, err = run(*arguments)
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("Error: ")
        return err

    return fails


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.tif"
    noise = np.random.default_rng(0).integers(0, 1000, (N_FRAMES, *SHAPE))
    tifffile.imwrite(path, noise.astype(np.uint16))
    return path


@pytest.fixture
def prompts(fake, tmp_path):
    path = tmp_path / "prompts.tif"
    labels = np.zeros((N_FRAMES, *SHAPE), np.uint16)
    labels[0] = fake.blocks(SHAPE, o1=(2, 2), o300=(12, 10))
    tifffile.imwrite(path, labels)
    return path
