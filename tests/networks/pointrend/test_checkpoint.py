"""Published files of PointRend, in every container they may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from napari_vos import checkpoints
from napari_vos.errors import WeightsError
from napari_vos.networks.pointrend import SemanticPointRend
from tests.golden import golden_shapes, golden_weights, shapes_of


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_a_head_is_recognised_and_loaded(
    tmp_path: Path, zipped: bool, wrapped: bool, prefix: str, precision: torch.dtype
) -> None:
    weights = golden_weights(golden_shapes("pointrend_head"), {})
    content: dict[str, Any] = {f"{prefix}{k}": v.to(precision) for k, v in weights.items()}
    if wrapped:
        content = {"model": content, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3}
    path = tmp_path / "head.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    loaded = checkpoints.load_network("pointrend_head", path)
    tolerance = 0 if precision == torch.float32 else 1e-3
    torch.testing.assert_close(dict(loaded.state_dict()), weights, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("classes", [21, 19])
def test_a_whole_network_is_recognised(tmp_path: Path, prefix: str, classes: int) -> None:
    shapes = golden_shapes("pointrend_res50_full")
    shapes["backbone.classifier.4.weight"] = (classes, 256, 1, 1)
    shapes["backbone.classifier.4.bias"] = shapes["head.mlp.bias"] = (classes,)
    shapes["head.mlp.weight"] = (classes, 512 + classes, 1)
    small = {f"{prefix}{k}": torch.zeros(()).half().expand(s) for k, s in shapes.items()}
    path = tmp_path / "pointrend.pth"
    torch.save({"state_dict": small}, path)
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("pointrend", "")


@pytest.mark.parametrize("layers", [53, 103])
def test_other_trunks_are_recognised(tmp_path: Path, layers: int) -> None:
    with torch.device("meta"):
        shapes = shapes_of(SemanticPointRend(4, layers))
    path = tmp_path / "pointrend.pth"
    torch.save({key: torch.zeros(()).half().expand(shape) for key, shape in shapes.items()}, path)
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("pointrend", "")


def test_a_head_of_other_classes(tmp_path: Path) -> None:
    path = tmp_path / "head.pth"
    weights = golden_weights({"mlp.weight": (5, 21, 1), "mlp.bias": (5,)}, {})
    torch.save(weights, path)
    loaded = checkpoints.load_network("pointrend_head", path)
    assert torch.equal(loaded.state_dict()["mlp.weight"], weights["mlp.weight"])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "head.pth"
    torch.save({"mlp.bias": torch.zeros(21), "mlp.scale": torch.zeros(21)}, path)
    with pytest.raises(WeightsError, match=r"1 missing \(such as mlp\.weight\).*1 unexpected"):
        checkpoints.load_network("pointrend_head", path)
