from __future__ import annotations

import pytest

from napari_vos.networks.yolact import DESIGNS, prepare_images
from tests.golden import assert_near, golden_arrays


@pytest.mark.parametrize(
    ("design", "name", "tolerance"),
    [("base", "resnet_fast", 1e-5), ("darknet53", "darknet_fast", 1e-5)],
)
def test_images_are_resized_and_normalised(design: str, name: str, tolerance: float) -> None:
    golden = golden_arrays("yolact_preprocess")
    image = golden["image_rgb_u8"].float().movedim(-1, 0)[None]
    assert_near(prepare_images(image, DESIGNS[design], 138), golden[name], tolerance)


def test_other_ways_to_resize_agree() -> None:
    golden = golden_arrays("yolact_preprocess")
    image = golden["image_rgb_u8"].float().movedim(-1, 0)[None]
    prepared = prepare_images(image, DESIGNS["base"], 138)
    assert_near(prepared[0].movedim(0, -1), golden["resnet_cv2"], 5e-5)
